// Any bytes as an entry or an author's body: refused, or canonical; and as the first entry of a
// log,
// judged without a crash.
// SPDX-License-Identifier: Apache-2.0
#include <cstdint>

#include "ledger/accounts.h"
#include "protocol/base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace coshard;
  const ByteView view(bytes, size);
  if (const auto entry = ledger::decode_entry(view)) {
    COSHARD_CHECK(ledger::encode(*entry) == to_bytes(view));
    ledger::Accounts accounts;
    COSHARD_CHECK(!accounts.apply(LogIndex(0), *entry) || accounts.size() == 1);
  }
  if (const auto body = ledger::decode_body(view)) {
    COSHARD_CHECK(ledger::encode_body(*body) == to_bytes(view));
  }
  if (const auto signed_body = ledger::decode<ledger::SignedBody>(view)) {
    COSHARD_CHECK(ledger::encode(*signed_body) == to_bytes(view));
  }
  return 0;
}
