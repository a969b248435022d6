// The one writer: what is durable when, and a crash at every write (reference ledger.md A9, A10,
// A12, B7).
// Every test runs on every store.
// SPDX-License-Identifier: Apache-2.0
#include "ledger/sequencer.h"

#include <gtest/gtest.h>

#include "ledger/verify.h"
#include "tests/support/store_place.h"
#include "tests/unit/ledger/small_round.h"

namespace coshard::ledger {
namespace {

/// Passes everything on, and from some call on fails: before the effect, or just after it.
class FailingStore final : public Store {
 public:
  explicit FailingStore(Store& inner) : inner_(&inner) {}
  Result<std::uint64_t> size() const override { return inner_->size(); }
  Result<void> append(std::uint64_t first, const std::vector<Bytes>& entries,
                      const std::vector<SideFile>& files) override {
    return guarded([&] { return inner_->append(first, entries, files); });
  }
  Result<std::vector<Bytes>> read(std::uint64_t first, std::uint64_t count) const override {
    return inner_->read(first, count);
  }
  Result<std::vector<SideFile>> side_files() const override { return inner_->side_files(); }
  Result<std::optional<std::string>> signed_checkpoint() const override {
    return inner_->signed_checkpoint();
  }
  Result<void> swap_signed_checkpoint(const std::optional<std::string>& expected,
                                      const std::string& next) override {
    return guarded([&] { return inner_->swap_signed_checkpoint(expected, next); });
  }

  Result<std::string> role() const override { return inner_->role(); }
  Result<void> set_role(const std::string& role) override { return inner_->set_role(role); }

  int calls_left = -1;  ///< negative: no limit
  bool effect_before_failure = false;

 private:
  template <class Call>
  Result<void> guarded(Call call) {
    if (calls_left != 0) {
      if (calls_left > 0) --calls_left;
      return call();
    }
    if (effect_before_failure) COSHARD_TRY(call());
    return fail(ErrorCode::kUnavailable, "the machine stopped here");
  }
  Store* inner_;
};

class SequencerTest : public ::testing::TestWithParam<StoreKind> {
 protected:
  void SetUp() override {
    if (!place_->exists()) GTEST_SKIP() << test::PostgresServer::why_not();
    reopen_store();
  }
  /// What a new process would see.
  void reopen_store() {
    if (GetParam() == StoreKind::kMemory) return;
    round_.store.reset();
    auto opened = place_->open();
    ASSERT_OK(opened);
    round_.store = std::move(*opened);
  }
  /// The published checkpoint, when there is one and its log verifies.
  std::optional<Checkpoint> verify_or_nothing() {
    const auto read = read_ledger(folder());
    if (!read) return std::nullopt;
    return read->checkpoint;
  }
  MemoryFolder& folder() { return static_cast<MemoryFolder&>(*round_.folder); }

  SmallRound round_;
  std::optional<StorePlace> place_{std::in_place, GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Stores, SequencerTest, all_store_kinds(), store_kind_name);

TEST_P(SequencerTest, NothingIsDurableBeforeCommit) {
  auto ledger = round_.begin();
  ASSERT_OK(ledger);
  EXPECT_EQ(*round_.store->size(), 0u);
  ASSERT_OK(ledger->commit());
  EXPECT_EQ(*round_.store->size(), ledger->accounts().size());
  EXPECT_TRUE(folder().files.empty());
  const auto checkpoint = ledger->publish();
  ASSERT_OK(checkpoint);
  EXPECT_EQ(checkpoint->size, ledger->accounts().size());
  EXPECT_EQ(**round_.store->signed_checkpoint(), as_text(folder().files.at("checkpoint")));
}

// B7: the same bytes again are the same index; other bytes for the event are a conflict.
TEST_P(SequencerTest, B7_RepeatedEventIsIdempotentOrAConflict) {
  auto ledger = round_.begin();
  ASSERT_OK(ledger);
  ASSERT_OK(ledger->close_epoch(round_.summary(0, 1, 10)));
  const NodeTotal total = ledger->missing_batches(LedgerEpoch(0)).front();
  const Bytes batch = round_.batch_bytes(*ledger, 0, total);
  const auto first = admit(*ledger, batch);
  ASSERT_OK(first);
  EXPECT_EQ(*admit(*ledger, batch), *first);
  WorkBatch other = *make_batch(ledger->accounts().genesis(), ledger->accounts().network(),
                                {LedgerEpoch(0), total.stage, total.node, total.units, 0}, {});
  other.receipts_root.fill(1);
  for (const crypto::Identity& node : round_.nodes) {
    if (node.node() != total.node) continue;
    const auto conflict =
        admit(*ledger, sign_batch(node.operating(), ledger->accounts().network(), other));
    EXPECT_ERROR(conflict, ErrorCode::kFailedPrecondition);
    EXPECT_NE(conflict.error().message.find("conflict"), std::string::npos);
  }
}

// A12: too long for an entry.
TEST_P(SequencerTest, A12_LongEntryIsRefusedBeforeItIsSequenced) {
  auto ledger = round_.begin();
  ASSERT_OK(ledger);
  const std::uint64_t size = ledger->accounts().size();
  EXPECT_ERROR(admit(*ledger, Bytes(65'536)), ErrorCode::kInvalidArgument);
  CheckpointRecord record{StepId(1), round_.shards()};
  record.shards.resize(600);
  EXPECT_ERROR(ledger->post(StepId(1), record.shards), ErrorCode::kInvalidArgument);
  EXPECT_EQ(ledger->accounts().size(), size);
}

/// One whole run that may stop anywhere: two publications, with an epoch between them.
Result<void> run(SmallRound& round, Store& store) {
  COSHARD_ASSIGN(RoundLedger ledger, RoundLedger::open(store, *round.folder, round.operating,
                                                       round.log_key, round.clock));
  if (!ledger.has_genesis()) {
    COSHARD_TRY(ledger.genesis(round.params));
  }
  for (const crypto::Identity& node : round.nodes) {
    COSHARD_TRY(ledger.register_identity(node.certificate()));
  }
  COSHARD_TRY(ledger.publish());
  if (ledger.accounts().epochs().empty()) COSHARD_TRY(ledger.close_epoch(round.summary(0, 1, 10)));
  COSHARD_TRY(ledger.commit());
  COSHARD_TRY(ledger.admit_missing(LedgerEpoch(0)));
  if (ledger.accounts().epochs()[0].status == EpochState::Status::kClosed) {
    COSHARD_TRY(ledger.credit(LedgerEpoch(0)));
  }
  COSHARD_TRY(ledger.publish());
  return {};
}

// A9: stopped at any write to the store or the folder, the log goes on without a fork and ends with
// the same accounts.
TEST_P(SequencerTest, StopsAtEveryWriteAndGoesOn) {
  int stops = 0;
  for (const bool in_store : {true, false}) {
    for (const bool effect : {false, true}) {
      if (!in_store && effect) continue;
      for (int at = 0;; ++at) {
        round_.store = std::make_shared<MemoryStore>();
        place_.emplace(GetParam());
        reopen_store();
        round_.folder = std::make_shared<MemoryFolder>();
        FailingStore failing(*round_.store);
        failing.effect_before_failure = effect;
        (in_store ? failing.calls_left : folder().writes_left) = at;
        const bool finished = run(round_, failing).has_value();
        // Whatever is published by now is what every later checkpoint must contain.
        const auto early = verify_or_nothing();
        folder().writes_left = -1;
        reopen_store();
        ASSERT_OK(run(round_, *round_.store));
        const auto verified = verify_ledger(folder());
        ASSERT_OK(verified);
        if (early) {
          std::vector<Hash> leaves;
          const std::vector<Bytes> entries = *round_.store->read(0, early->size);
          for (const Bytes& entry : entries) {
            leaves.push_back(leaf_hash(entry));
          }
          EXPECT_EQ(root_of(leaves), early->root) << "forked after stop " << at;
        }
        EXPECT_EQ(verified->accounts.totals().pending, 200'000u);
        if (finished) break;
        ++stops;
      }
    }
  }
  EXPECT_GT(stops, 15);
}

// A10: yesterday's database under today's folder.
TEST_P(SequencerTest, RestoredOldStoreIsRefused) {
  {
    auto ledger = round_.begin();
    ASSERT_OK(ledger);
    ASSERT_OK(ledger->publish());
  }
  MemoryStore yesterday;
  const std::uint64_t size = *round_.store->size();
  ASSERT_OK(yesterday.append(0, *round_.store->read(0, size), {}));
  ASSERT_OK(yesterday.swap_signed_checkpoint(std::nullopt, **round_.store->signed_checkpoint()));
  {
    auto ledger = round_.open();
    ASSERT_OK(ledger);
    ASSERT_OK(ledger->close_epoch(round_.summary(0, 1, 10)));
    ASSERT_OK(ledger->publish());
  }
  EXPECT_ERROR(Sequencer::open(yesterday, *round_.folder, round_.log_key, round_.clock),
               ErrorCode::kCorruption);
}

TEST_P(SequencerTest, AnotherLogKeyOrCoordinatorIsRefused) {
  {
    auto ledger = round_.begin();
    ASSERT_OK(ledger);
    ASSERT_OK(ledger->publish());
  }
  const crypto::KeyPair other = test_key(99);
  EXPECT_ERROR(
      RoundLedger::open(*round_.store, *round_.folder, round_.operating, other, round_.clock),
      ErrorCode::kPermissionDenied);
  EXPECT_ERROR(
      RoundLedger::open(*round_.store, *round_.folder, other, round_.log_key, round_.clock),
      ErrorCode::kPermissionDenied);
}

TEST_P(SequencerTest, FailedCommitStopsEverything) {
  FailingStore failing(*round_.store);
  auto ledger =
      RoundLedger::open(failing, *round_.folder, round_.operating, round_.log_key, round_.clock);
  ASSERT_OK(ledger);
  ASSERT_OK(ledger->genesis(round_.params));
  failing.calls_left = 0;
  EXPECT_ERROR(ledger->commit(), ErrorCode::kUnavailable);
  failing.calls_left = -1;
  EXPECT_ERROR(ledger->publish(), ErrorCode::kFailedPrecondition);
  EXPECT_ERROR(ledger->register_identity(round_.nodes[0].certificate()),
               ErrorCode::kFailedPrecondition);
  EXPECT_EQ(*round_.store->size(), 0u);
}

}  // namespace
}  // namespace coshard::ledger
