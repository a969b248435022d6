// Amounts are exact both ways, and what is no amount is refused.
// SPDX-License-Identifier: Apache-2.0
#include "node/amount.h"

#include <gtest/gtest.h>

namespace coshard::node {
namespace {

TEST(Amount, DecimalTextIsExact) {
  const std::pair<const char*, std::uint64_t> known[] = {
      {"0", 0},
      {"12", 12'000'000},
      {"12.34", 12'340'000},
      {"0.000001", 1},
      {"0.1", 100'000},
      {"00012.50", 12'500'000},
      {"9223372036854.775807", INT64_MAX},
  };
  for (const auto& [text, micro] : known) EXPECT_EQ(parse_amount(text), micro) << text;
}

TEST(Amount, WhatIsNoneIsRefused) {
  for (const char* text : {"", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "1 ", "0.0000001", "0x10",
                           "9223372036854.775808", "99999999999999999999", "1.2.3", "nan"})
    EXPECT_FALSE(parse_amount(text)) << text;
}

TEST(Amount, IsWrittenAsItIsRead) {
  EXPECT_EQ(format_amount(12'300'000), "12.30");
  EXPECT_EQ(format_amount(1), "0.000001");
  EXPECT_EQ(format_amount(0), "0.00");
  for (std::uint64_t micro = 1; micro < (std::uint64_t{1} << 62); micro = micro * 7 + 3)
    EXPECT_EQ(parse_amount(format_amount(micro)), micro);
}

}  // namespace
}  // namespace coshard::node
