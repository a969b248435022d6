// SPDX-License-Identifier: Apache-2.0
#include "node/amount.h"

#include <algorithm>

namespace coshard::node {
namespace {

constexpr std::size_t kDecimalsMax = 6;
constexpr std::size_t kDecimalsMin = 2;
constexpr std::uint64_t kAmountMax = (std::uint64_t{1} << 63) - 1;

bool all_digits(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

Result<std::uint64_t> parse_amount(std::string_view text) {
  const auto refuse = [&](const std::string& what) {
    return fail(ErrorCode::kInvalidArgument,
                "expected " + what + ", found \"" + std::string(text) + "\"");
  };
  const std::size_t point = text.find('.');
  const std::string_view whole = text.substr(0, point);
  const std::string_view decimals =
      point == std::string_view::npos ? std::string_view() : text.substr(point + 1);
  const bool complete = point == std::string_view::npos || !decimals.empty();
  if (whole.empty() || !complete || decimals.size() > kDecimalsMax || !all_digits(whole) ||
      !all_digits(decimals)) {
    return refuse("an amount like 12.34, of digits and at most six decimals");
  }
  std::string digits(whole);
  digits.append(decimals);
  digits.append(kDecimalsMax - decimals.size(), '0');
  std::uint64_t value = 0;
  for (const char c : digits) {
    const auto digit = static_cast<std::uint64_t>(c - '0');
    if (value > (kAmountMax - digit) / 10) return refuse("an amount below 2^63 millionths");
    value = value * 10 + digit;
  }
  return value;
}

std::string format_amount(std::uint64_t micro_units) {
  std::string decimals = std::to_string(micro_units % kMicro);
  decimals.insert(0, kDecimalsMax - decimals.size(), '0');
  while (decimals.size() > kDecimalsMin && decimals.back() == '0') decimals.pop_back();
  return std::to_string(micro_units / kMicro) + "." + decimals;
}

}  // namespace coshard::node
