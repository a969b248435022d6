// Any bytes as a receipt window or a node's signed batch: refused, or canonical.
// SPDX-License-Identifier: Apache-2.0
#include <cstdint>

#include "ledger/receipt.h"
#include "protocol/base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace coshard;
  const ByteView view(bytes, size);
  if (const auto window = ledger::decode<ledger::SignedWindow>(view)) {
    COSHARD_CHECK(ledger::encode(*window) == to_bytes(view));
    (void)ledger::verify_window(NetworkId{}, *window).has_value();
    for (const Bytes& one : window->receipts) {
      if (const auto receipt = ledger::decode<ledger::Receipt>(one)) {
        COSHARD_CHECK(ledger::encode(*receipt) == one);
      }
    }
  }
  if (const auto receipt = ledger::decode<ledger::Receipt>(view)) {
    COSHARD_CHECK(ledger::encode(*receipt) == to_bytes(view));
  }
  return 0;
}
