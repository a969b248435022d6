// See demo_summary.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/cli/demo_summary.h"

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "node/progress.h"

namespace coshard::cli {
namespace {

namespace fs = std::filesystem;

[[gnu::format(printf, 1, 2)]] std::string format(const char* pattern, ...) {
  std::array<char, 512> text{};
  va_list arguments;
  va_start(arguments, pattern);
  std::vsnprintf(text.data(), text.size(), pattern, arguments);
  va_end(arguments);
  return text.data();
}

/// 1234567 as "1,234,567".
std::string grouped(std::uint64_t number) {
  std::string text = std::to_string(number);
  for (std::size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, ",");
  return text;
}

/// The shorter way to write a path from here.
std::string short_path(const fs::path& path) {
  std::error_code ec;
  const std::string near = fs::proximate(path, ec).string();
  return ec || near.size() > path.string().size() ? path.string() : near;
}

std::string program_path() {
  std::error_code ec;
  const auto self = fs::read_symlink("/proc/self/exe", ec);
  return ec ? "coshard" : short_path(self);
}

void add_owners(const DemoPlan& plan, const DemoSummary& summary, std::vector<std::string>& lines) {
  std::uint64_t all = 0;
  for (const auto& [account, units] : summary.ownership) all += units;
  std::vector<std::pair<std::string, std::uint64_t>> rows(summary.ownership.begin(),
                                                          summary.ownership.end());
  std::ranges::sort(rows, [](const auto& a, const auto& b) { return a.second > b.second; });
  lines.push_back("who owns the model:");
  for (const auto& [account, units] : rows) {
    std::string name = "?";
    for (const auto& [id, owner] : plan.owner_names) name = id.hex() == account ? owner : name;
    const double share = all == 0 ? 0 : 100 * static_cast<double>(units) / static_cast<double>(all);
    lines.push_back(format("  %-8s %.16s  %5.2f %%  %s units", name.c_str(), account.c_str(), share,
                           grouped(units).c_str()));
  }
}

void add_next_commands(const DemoPlan& plan, const DemoSummary& summary,
                       std::vector<std::string>& lines) {
  const std::string coshard = program_path();
  const std::string dir = short_path(plan.dir);
  lines.push_back("try next:");
  lines.push_back("  " + coshard + " verify --ledger " + dir);
  lines.push_back("  " + coshard + " ownership " + plan.round.model.name + " --ledger " + dir);
  if (!summary.ownership.empty())
    lines.push_back("  " + coshard + " statement " +
                    summary.ownership.begin()->first.substr(0, 16) + " --ledger " + dir);
  if (plan.round.model.weights == node::Weights::kOpen)
    lines.push_back("  " + coshard + " round export " + dir + " --format hf --out " + dir + "/hf");
  lines.push_back("  " + coshard + " demo --stages 4 --replicas 1 --data YOUR_TEXT");
}

}  // namespace

DemoSummary summarize(const DemoPlan& plan, const std::vector<StepMetrics>& metrics,
                      const ledger::VerifiedLedger& ledger, double boundary_bytes_per_token) {
  DemoSummary summary;
  summary.steps = metrics.size();
  if (!metrics.empty()) {
    summary.loss_first = metrics.front().loss;
    summary.loss_last = metrics.back().loss;
  }
  for (const StepMetrics& step : metrics) {
    summary.tokens += step.tokens;
    summary.seconds += step.seconds;
  }
  summary.tokens_per_second =
      summary.seconds > 0 ? static_cast<double>(summary.tokens) / summary.seconds : 0;
  const shard::ModelSpec& spec = plan.round.model.spec;
  summary.params = shard::parameter_count(spec, shard::whole_model(spec));
  summary.stages = plan.round.model.stages();
  summary.replicas = plan.round.admission.replicas;
  summary.boundary_bytes_per_token = boundary_bytes_per_token;
  summary.origin = ledger.checkpoint.origin;
  summary.size = ledger.checkpoint.size;
  summary.root = to_base64(ledger.checkpoint.root);
  for (const auto& [account, balance] : ledger.accounts.balances())
    summary.ownership[account.hex()] = balance.posted;
  return summary;
}

std::optional<std::string> shortcoming(const DemoPlan& plan, const DemoSummary& summary) {
  if (summary.steps != plan.round.training.steps)
    return format("expected %llu committed steps, found %llu",
                  static_cast<unsigned long long>(plan.round.training.steps),
                  static_cast<unsigned long long>(summary.steps));
  if (!(summary.loss_last < summary.loss_first))
    return format("expected the loss to fall from %.4f, found %.4f after the last step",
                  summary.loss_first, summary.loss_last);
  return std::nullopt;
}

std::string to_json(const DemoSummary& summary) {
  const nlohmann::ordered_json json{
      {"loss_first", summary.loss_first},
      {"loss_last", summary.loss_last},
      {"steps", summary.steps},
      {"tokens", summary.tokens},
      {"tokens_per_second", summary.tokens_per_second},
      {"seconds", summary.seconds},
      {"params", summary.params},
      {"stages", summary.stages},
      {"replicas", summary.replicas},
      {"boundary_bytes_per_token", summary.boundary_bytes_per_token},
      {"kills", summary.kills},
      {"repaired_microbatches", summary.repaired_microbatches},
      {"ledger", {{"origin", summary.origin}, {"size", summary.size}, {"root", summary.root}}},
      {"ownership", summary.ownership}};
  return json.dump();
}

std::vector<std::string> render_summary(const DemoPlan& plan, const DemoSummary& summary,
                                        const std::vector<StepMetrics>& metrics, bool unicode) {
  node::CurveStyle style;
  style.unicode = unicode;
  std::vector<std::string> lines = node::draw_loss_curve(losses(metrics), style);
  lines.push_back("");
  lines.push_back(format("loss %.4f -> %.4f over %llu steps: %s tokens in %s, %.0f tokens/s",
                         summary.loss_first, summary.loss_last,
                         static_cast<unsigned long long>(summary.steps),
                         grouped(summary.tokens).c_str(),
                         node::render_seconds(summary.seconds).c_str(), summary.tokens_per_second));
  lines.push_back(
      format("%s parameters in %u stages x %u replicas, %.1f bytes per token across a "
             "boundary, there and back",
             grouped(summary.params).c_str(), summary.stages, summary.replicas,
             summary.boundary_bytes_per_token));
  if (summary.kills > 0)
    lines.push_back(format("%llu %s disturbed; %llu microbatches were repaired, none was lost",
                           static_cast<unsigned long long>(summary.kills),
                           summary.kills == 1 ? "process was" : "processes were",
                           static_cast<unsigned long long>(summary.repaired_microbatches)));
  if (summary.joined > 0)
    lines.push_back(format("%llu %s joined while the others trained on",
                           static_cast<unsigned long long>(summary.joined),
                           summary.joined == 1 ? "node" : "nodes"));
  lines.push_back(format("ledger verified: %llu entries, root %s",
                         static_cast<unsigned long long>(summary.size), summary.root.c_str()));
  add_owners(plan, summary, lines);
  add_next_commands(plan, summary, lines);
  return lines;
}

}  // namespace coshard::cli
