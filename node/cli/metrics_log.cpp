// See metrics_log.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/cli/metrics_log.h"

#include <cmath>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>

namespace coshard::cli {
namespace {

/// A number, or not-a-number for null: JSON has no other word for a loss that was not finite.
double number(const nlohmann::json& json, const char* key) {
  const auto it = json.find(key);
  return it != json.end() && it->is_number() ? it->get<double>() : std::nan("");
}

std::uint64_t count(const nlohmann::json& json, const char* key) {
  const auto it = json.find(key);
  return it != json.end() && it->is_number_unsigned() ? it->get<std::uint64_t>() : 0;
}

}  // namespace

Result<std::vector<StepMetrics>> parse_metrics(std::string_view text) {
  std::map<std::uint64_t, StepMetrics> by_step;
  std::size_t line_number = 0;
  while (true) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) break;  // what follows is torn, or nothing
    const auto json = nlohmann::json::parse(text.substr(0, end), nullptr,
                                            /*allow_exceptions=*/false);
    text.remove_prefix(end + 1);
    ++line_number;
    if (!json.is_object() || count(json, "step") == 0)
      return fail(ErrorCode::kCorruption, "metrics.jsonl:" + std::to_string(line_number) +
                                              ": expected an object with a step, found something "
                                              "else");
    const StepMetrics step{count(json, "step"),       number(json, "loss"),
                           count(json, "tokens"),     number(json, "seconds"),
                           number(json, "grad_norm"), number(json, "tokens_per_second")};
    by_step.erase(by_step.lower_bound(step.step), by_step.end());  // a resume goes back
    by_step.emplace(step.step, step);
  }
  std::vector<StepMetrics> metrics;
  for (const auto& [step, line] : by_step) metrics.push_back(line);
  return metrics;
}

Result<std::vector<StepMetrics>> read_metrics(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in)
    return fail(ErrorCode::kNotFound, file.string() +
                                          ": expected the metrics of a round, found "
                                          "none");
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  return parse_metrics(text);
}

std::vector<node::LossPoint> losses(const std::vector<StepMetrics>& metrics) {
  std::vector<node::LossPoint> points;
  for (const StepMetrics& step : metrics) points.push_back({step.step, step.loss});
  return points;
}

}  // namespace coshard::cli
