// Quantities as people write them on a command line: rates, shares per hour, times. Pure functions,
// any thread. All: kInvalidArgument says what was expected and found.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "protocol/base/error.h"

namespace coshard::cli {

/// "50mbit", "2.5gbit", "800kbit": bytes per second.
Result<double> parse_bit_rate(std::string_view text);
/// "5%/h": the share that goes in an hour, 0.05.
Result<double> parse_churn(std::string_view text);
/// "30ms", "0.1s": seconds.
Result<double> parse_latency(std::string_view text);
/// A number above zero, at most a million.
Result<double> parse_positive(std::string_view text);
/// 0 to 3.
Result<double> parse_spread(std::string_view text);

}  // namespace coshard::cli
