// Any bytes as an entry or an author's body: refused, or canonical; and judged without a crash as
// the first entry of a log, or as the next one of a log that has something of everything.
// SPDX-License-Identifier: Apache-2.0
#include <cstdint>

#include "ledger/accounts.h"
#include "protocol/base/check.h"
#include "tests/support/random_ledger.h"

namespace {

using namespace coshard;

const ledger::Accounts& long_log() {
  static const ledger::Accounts kAccounts = [] {
    test::RandomLedger random(3);
    for (int i = 0; i < 250; ++i) random.next();
    return random.accounts();
  }();
  return kAccounts;
}

/// Signatures are the one thing that a fuzzer cannot guess.
void judge(const ledger::Body& body, ByteView bytes) {
  ledger::LedgerEntry entry;
  entry.index = LogIndex(long_log().size());
  entry.seq_ms = long_log().last_ms();
  entry.body = to_bytes(bytes);
  entry.signatures.push_back({body.author.bytes, {}});
  ledger::Accounts accounts = long_log();
  if (accounts.apply(entry.index, entry, ledger::SignatureCheck::kDone)) accounts.check_sums();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const ByteView view(bytes, size);
  if (const auto entry = ledger::decode_entry(view)) {
    COSHARD_CHECK(ledger::encode(*entry) == to_bytes(view));
    ledger::Accounts accounts;
    COSHARD_CHECK(!accounts.apply(LogIndex(0), *entry) || accounts.size() == 1);
  }
  if (const auto body = ledger::decode_body(view)) {
    COSHARD_CHECK(ledger::encode_body(*body) == to_bytes(view));
    judge(*body, view);
  }
  if (const auto signed_body = ledger::decode<ledger::SignedBody>(view)) {
    COSHARD_CHECK(ledger::encode(*signed_body) == to_bytes(view));
  }
  return 0;
}
