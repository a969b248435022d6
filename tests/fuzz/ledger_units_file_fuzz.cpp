// Any bytes as a units file: refused, or exactly what encoding it again gives.
// SPDX-License-Identifier: Apache-2.0
#include <cstdint>

#include "ledger/units_file.h"
#include "protocol/base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace coshard;
  const ByteView view(bytes, size);
  const auto summary = ledger::decode_units_file(view);
  if (!summary) return 0;
  COSHARD_CHECK(ledger::encode_units_file(*summary) == to_bytes(view));
  ledger::Genesis genesis;
  genesis.total_steps = 100;
  genesis.microbatches = 2;
  genesis.tokens_per_microbatch = 3;
  genesis.stage_prices = {5, 7};
  (void)ledger::close_of(genesis, *summary).has_value();
  return 0;
}
