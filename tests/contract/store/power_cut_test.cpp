// The power goes at any write or sync of the store or the folder: nothing acknowledged is lost, no
// fork, every file there again. And a disk that is full, or fails (reference ledger.md 5.3, A9,
// A10, E7). COSHARD_SIM_TIMES multiplies the seeds, COSHARD_SIM_SEED names one.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/contract/store/boxed_round.h"

namespace coshard::ledger {
namespace {

std::vector<std::uint64_t> seeds(std::uint64_t count) {
  if (const char* one = std::getenv("COSHARD_SIM_SEED")) return {std::strtoull(one, nullptr, 10)};
  if (const char* times = std::getenv("COSHARD_SIM_TIMES"))
    count *= std::strtoull(times, nullptr, 10);
  std::vector<std::uint64_t> all;
  for (std::uint64_t seed = 1; seed <= count; ++seed) all.push_back(seed);
  return all;
}

/// Some lives of one log, each ended by the power; what was broken, or nothing.
std::string cut_power(std::uint64_t seed, bool ignores_syncs, bool hasty) {
  Rng rng(seed, 41);
  BoxedRound box(hasty);
  box.disk.ignores_syncs = ignores_syncs;
  for (int life = 0; life < 4; ++life) {
    box.disk.power_until = box.disk.operations() + rng.below(life == 0 ? 400 : 150);
    (void)box.live(rng);
    box.look_at_folder();
    box.round.store.reset();
    box.disk.power_until = box.disk.operations();
    box.disk.restart(rng);
    if (rng.below(2) == 0) continue;  // the next one goes on, and may be cut while it repairs
    if (const std::string broken = box.broken_promise(); !broken.empty()) return broken;
  }
  return box.broken_promise();
}

// The lives that the others cut are long enough to be cut anywhere.
TEST(PowerCutTest, LivesToItsEndOnASoundDisk) {
  Rng rng(1);
  BoxedRound box;
  ASSERT_OK(box.live(rng));
  EXPECT_GT(box.disk.operations(), 400u);
  EXPECT_GT(box.seen.size(), 10u);
  EXPECT_EQ(box.round.store->side_files()->size(), 5u);
  EXPECT_EQ(box.broken_promise(), "");
}

TEST(PowerCutTest, LosesNothingAcknowledgedAndNeverForks) {
  for (const std::uint64_t seed : seeds(60))
    EXPECT_EQ(cut_power(seed, false, false), "") << "COSHARD_SIM_SEED=" << seed;
}

// The harness can fail: each planted bug is found within a few seeds.
TEST(PowerCutTest, DriveThatIgnoresSyncsIsFound) {
  int found = 0;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) found += !cut_power(seed, true, false).empty();
  EXPECT_GT(found, 2);
}

TEST(PowerCutTest, AnswerBeforeCommitIsFound) {
  int found = 0;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) found += !cut_power(seed, false, true).empty();
  EXPECT_GT(found, 2);
}

// A9: the power goes at each single operation of a round's first entries, between commit and
// publish, and between publish and the answer.
TEST(Attack, A9_CrashAtEveryOperationIsNoForkAndLosesNoAnswer) {
  for (std::uint64_t at = 0; at < 150; ++at) {
    Rng rng(7, at);
    BoxedRound box;
    box.disk.power_until = at;
    (void)box.live(rng);
    box.look_at_folder();
    box.round.store.reset();
    box.disk.power_until = 0;
    box.disk.restart(rng);
    ASSERT_EQ(box.broken_promise(), "") << "cut at operation " << at;
  }
}

// A10: yesterday's database under today's folder.
TEST(Attack, A10_RestoredOldDatabaseSignsNothing) {
  BoxedRound today, yesterday;
  for (BoxedRound* box : {&today, &yesterday}) {
    ASSERT_OK(box->open_store());
    auto ledger = box->round.open();
    ASSERT_OK(ledger);
    ASSERT_OK(ledger->genesis(box->round.params));
    ASSERT_OK(ledger->publish());
  }
  // The old database is one of which the folder has more than it knows.
  MemoryStore old;
  ASSERT_OK(old.append(0, *today.round.store->read(0, *today.round.store->size()), {}));
  ASSERT_OK(old.swap_signed_checkpoint(std::nullopt, **today.round.store->signed_checkpoint()));
  {
    auto ledger = today.round.open();
    ASSERT_OK(ledger);
    ASSERT_OK(ledger->register_identity(test_identity(9).certificate()));
    ASSERT_OK(ledger->publish());
  }
  const Bytes before = *today.round.folder->read("checkpoint", 1u << 16);
  EXPECT_ERROR(Sequencer::open(old, *today.round.folder, today.round.log_key, today.round.clock),
               ErrorCode::kCorruption);
  // Another log's database, of the same keys, is no better.
  EXPECT_ERROR(Sequencer::open(*yesterday.round.store, *today.round.folder, today.round.log_key,
                               today.round.clock),
               ErrorCode::kCorruption);
  EXPECT_EQ(*today.round.folder->read("checkpoint", 1u << 16), before);
}

/// From `at` on the disk does as `set` says; then it is well again.
template <class Set>
void fail_at_each_operation(Set set) {
  int failures = 0;
  for (std::uint64_t at = 0; at < 200; at += 1 + at / 20) {
    Rng rng(3, at);
    BoxedRound box;
    set(box.disk, at);
    const auto lived = box.live(rng);
    if (!lived) ++failures;
    box.look_at_folder();
    box.round.store.reset();
    box.disk.full_from.reset();
    box.disk.sync_fails.reset();
    box.disk.power_until = 0;  // and then the power goes
    box.disk.restart(rng);
    ASSERT_EQ(box.broken_promise(), "") << "failed at operation " << at;
  }
  EXPECT_GT(failures, 20);
}

TEST(Attack, E7_DiskFullAtEachWriteLosesNothing) {
  fail_at_each_operation([](test::VirtualDisk& disk, std::uint64_t at) { disk.full_from = at; });
}

// What a sync failed to write is lost, even if the next one says it is well.
TEST(Attack, E7_FailedSyncIsFatal) {
  fail_at_each_operation([](test::VirtualDisk& disk, std::uint64_t at) { disk.sync_fails = at; });
}

TEST(Attack, E7_WriterRefusesEverythingAfterAFailedSync) {
  BoxedRound box;
  ASSERT_OK(box.open_store());
  auto ledger = box.round.open();
  ASSERT_OK(ledger);
  ASSERT_OK(ledger->genesis(box.round.params));
  ASSERT_OK(ledger->publish());
  ASSERT_OK(ledger->register_identity(test_identity(9).certificate()));
  box.disk.sync_fails = box.disk.operations();
  EXPECT_ERROR(ledger->commit(), ErrorCode::kUnavailable);
  EXPECT_ERROR(ledger->commit(), ErrorCode::kFailedPrecondition);
  EXPECT_ERROR(ledger->publish(), ErrorCode::kFailedPrecondition);
  EXPECT_ERROR(ledger->register_identity(test_identity(10).certificate()),
               ErrorCode::kFailedPrecondition);
}

}  // namespace
}  // namespace coshard::ledger
