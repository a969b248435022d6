// Amounts of money as people write them, exactly: decimal text to micro-units and back. Never a
// binary fraction. Pure functions, any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "protocol/base/error.h"

namespace coshard::node {

inline constexpr std::uint64_t kMicro = 1'000'000;  ///< micro-units of one unit of a currency

/// "12", "12.3", "0.000001": micro-units. kInvalidArgument for a sign, an exponent, a comma, more
/// than six decimals, or 2^63 micro-units and more.
Result<std::uint64_t> parse_amount(std::string_view text);
/// The shortest such text with at least two decimals: "12.30", "0.000001".
std::string format_amount(std::uint64_t micro_units);

}  // namespace coshard::node
