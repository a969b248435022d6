// The generator of random ledgers itself: repeatable, verifiable, and of every kind.
// SPDX-License-Identifier: Apache-2.0
#include "tests/support/random_ledger.h"

#include <gtest/gtest.h>

#include <set>

#include "crypto/hash.h"
#include "ledger/verify.h"
#include "tests/unit/ledger/small_round.h"

namespace coshard::ledger {
namespace {

TEST(RandomLedger, SameSeedIsTheSameLedgerAndItVerifies) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    test::RandomLedger one(seed);
    test::RandomLedger other(seed);
    for (int i = 0; i < 300; ++i) ASSERT_EQ(one.next().encoded, other.next().encoded);
    MemoryFolder folder;
    ASSERT_OK(one.write(folder));
    const auto verified = verify_ledger(folder);
    ASSERT_OK(verified);
    EXPECT_EQ(verified->accounts.state_root(), one.accounts().state_root());
    one.accounts().check_sums();
  }
}

TEST(RandomLedger, HasEveryKindOfEntry) {
  std::set<LeafType> seen;
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    test::RandomLedger ledger(seed);
    for (int i = 0; i < 400; ++i) seen.insert(type_of(decode_body(ledger.next().body.body)->leaf));
  }
  for (std::uint32_t type = 1; type <= std::variant_size_v<Leaf>; ++type) {
    EXPECT_TRUE(seen.contains(static_cast<LeafType>(type)))
        << to_string(static_cast<LeafType>(type)) << " never occurred";
  }
}

TEST(StateRoot, CommitsToTheNextSnapshot) {
  test::RandomLedger ledger(7);
  const Hash before = ledger.next().encoded.empty() ? Hash{} : ledger.accounts().state_root();
  ledger.next();
  EXPECT_NE(ledger.accounts().state_root(), before);
  EXPECT_EQ(ledger.accounts().state_root(),
            crypto::domain_hash("coshard/state/v1", {encode(ledger.accounts().snapshot())}));
}

}  // namespace
}  // namespace coshard::ledger
