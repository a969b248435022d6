// D12: the fold gives the same bytes after every prefix, on every machine, by every compiler, and
// whatever restarts in between. The one hash below stands for all states of ledgers with every
// kind of entry.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <set>

#include "crypto/hash.h"
#include "tests/support/random_ledger.h"

namespace coshard::ledger {
namespace {

constexpr std::uint64_t kSeed = 12;
constexpr std::uint64_t kLedgers = 8;
constexpr std::size_t kEntries = 800;

Bytes chain(const Hash& before, const Bytes& state) {
  Bytes out = to_bytes(before);
  append(out, state);
  return out;
}

TEST(AttackReplay, D12_EveryPrefixGivesTheSameBytesEverywhere) {
  std::set<LeafType> seen;
  Hash hash{};
  for (std::uint64_t seed = kSeed; seed < kSeed + kLedgers; ++seed) {
    test::RandomLedger random(seed);
    for (std::size_t i = 0; i < kEntries; ++i) {
      const auto body = decode_body(random.next().body.body);
      ASSERT_TRUE(body.has_value());
      seen.insert(type_of(body->leaf));
      hash = crypto::sha256(chain(hash, random.accounts().serialize()));
    }
  }
  for (std::uint32_t type = 1; type <= std::variant_size_v<Leaf>; ++type) {
    EXPECT_TRUE(seen.contains(LeafType{type})) << to_string(LeafType{type}) << " does not occur";
  }
  EXPECT_EQ(to_hex(hash), "97e933f6957f0a80630a7a3d7c66878d03d28f950a2e19382afdbc6d28f359c8")
      << "other bytes than other compilers make, or a rule or the generator changed on purpose";
}

TEST(AttackReplay, D12_ARestartAnywhereChangesNothing) {
  test::RandomLedger random(kSeed + 1);
  Accounts accounts;
  for (std::size_t i = 0; i < 600; ++i) {
    const test::RandomEntry& next = random.next();
    const auto entry = decode_entry(next.encoded);
    ASSERT_TRUE(entry.has_value());
    auto restored = Accounts::restore(accounts.serialize());
    ASSERT_TRUE(restored.has_value()) << "after " << i << " entries of ledger " << kSeed + 1;
    const auto applied = restored->apply(LogIndex(i), *entry, SignatureCheck::kDone);
    ASSERT_TRUE(applied.has_value()) << applied.error().message;
    ASSERT_TRUE(accounts.apply(LogIndex(i), *entry).has_value());
    ASSERT_EQ(restored->serialize(), accounts.serialize()) << "after entry " << i;
  }
  accounts.check_sums();
}

}  // namespace
}  // namespace coshard::ledger
