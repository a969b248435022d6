// See quantities.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/cli/quantities.h"

#include <charconv>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>

namespace coshard::cli {
namespace {

struct Scale {
  std::string_view unit;
  double factor;
};

/// `text` is a number from `min` to `max` and one of the units; the number times its factor.
std::optional<double> scaled(std::string_view text, std::initializer_list<Scale> scales, double min,
                             double max) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  const std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
  for (const Scale& scale : scales)
    if (unit == scale.unit && number >= min && number <= max) return number * scale.factor;
  return std::nullopt;
}

Result<double> or_expected(std::optional<double> parsed, const char* what, std::string_view text) {
  if (parsed) return *parsed;
  return fail(ErrorCode::kInvalidArgument,
              std::string("expected ") + what + ", found \"" + std::string(text) + "\"");
}

}  // namespace

Result<double> parse_bit_rate(std::string_view text) {
  const auto rate =
      scaled(text, {{"kbit", 1e3 / 8}, {"mbit", 1e6 / 8}, {"gbit", 1e9 / 8}}, 1e-3, 1e6);
  return or_expected(rate, "a rate like 800kbit, 50mbit or 1gbit", text);
}

Result<double> parse_churn(std::string_view text) {
  return or_expected(scaled(text, {{"%/h", 0.01}}, 0, 1e6), "a share per hour like 5%/h", text);
}

Result<double> parse_latency(std::string_view text) {
  return or_expected(scaled(text, {{"ms", 1e-3}, {"s", 1}}, 0, 1e4), "a time like 30ms or 0.1s",
                     text);
}

Result<double> parse_positive(std::string_view text) {
  return or_expected(scaled(text, {{"", 1}}, 1e-6, 1e6), "a number from 0.000001 to 1000000", text);
}

Result<double> parse_spread(std::string_view text) {
  return or_expected(scaled(text, {{"", 1}}, 0, 3), "a number from 0 to 3", text);
}

}  // namespace coshard::cli
