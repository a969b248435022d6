// Any bytes as a round file: refused in one line, or accepted and then written and read back the
// same.
// SPDX-License-Identifier: Apache-2.0
#include <cstdint>

#include "node/round_file.h"
#include "protocol/base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace coshard;
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  const auto round = node::parse_round(text, "fuzz.toml");
  if (!round) {
    COSHARD_CHECK(round.error().message.find('\n') == std::string::npos);
    return 0;
  }
  const auto again = node::parse_round(node::to_toml(*round), "again.toml");
  COSHARD_CHECK(again.has_value());
  COSHARD_CHECK(*again == *round);
  return 0;
}
