// SPDX-License-Identifier: Apache-2.0
#include "node/http_range.h"

#include <charconv>
#include <cstdint>
#include <optional>

namespace coshard::node {
namespace {

constexpr std::size_t kDigitsMax = 18;

/// A number of digits alone.
std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || text.size() > kDigitsMax || error != std::errc() || at != end) {
    return std::nullopt;
  }
  return value;
}

}  // namespace

bool is_one_range(std::string_view header) {
  constexpr std::string_view kUnit = "bytes=";
  if (!header.starts_with(kUnit)) return false;
  header.remove_prefix(kUnit.size());
  const std::size_t dash = header.find('-');
  if (dash == std::string_view::npos) return false;
  const std::string_view from = header.substr(0, dash);
  const std::string_view to = header.substr(dash + 1);
  if (from.empty()) return parse_number(to).has_value();
  if (to.empty()) return parse_number(from).has_value();
  const auto first = parse_number(from);
  const auto last = parse_number(to);
  return first && last && *first <= *last;
}

}  // namespace coshard::node
