// A log whose checkpoints wait for witnesses: what readers see meanwhile, and what a crash or an
// old copy of the store does to it (reference ledger.md T2, T3).
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "ledger/verify.h"
#include "ledger/witness_desk.h"
#include "tests/unit/ledger/toy_log.h"

namespace coshard::ledger {
namespace {

class WitnessedLogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    round.params.total_steps = 50;
    auto opened = open();
    ASSERT_OK(opened);
    ledger.emplace(std::move(*opened));
    ASSERT_OK(ledger->genesis(round.params));
    ASSERT_OK(ledger->publish());
    for (std::uint8_t i = 1; i <= 3; ++i) {
      memories.push_back(std::make_unique<MemoryStore>());
      folders.push_back(std::make_unique<MemoryFolder>());
      keys.push_back(
          std::make_unique<crypto::KeyPair>(test_key(static_cast<std::uint8_t>(100 + i))));
      const NoteKey key{round.params.origin, round.log_key.public_key()};
      books.push_back(std::make_unique<WitnessBook>(
          *memories.back(), *folders.back(),
          WitnessSetup{name(i), keys.back().get(), {{key.name, {key}}}}));
    }
  }
  static std::string name(std::uint8_t i) { return "witness-" + std::to_string(i) + ".example"; }
  Result<RoundLedger> open() {
    return RoundLedger::open(*round.store, *round.folder, round.operating, round.log_key,
                             round.clock, Publication::kWhenCosigned);
  }
  Policy policy(std::size_t k) const {
    std::string text, names;
    for (std::uint8_t i = 0; i < keys.size(); ++i) {
      const std::string w = "w" + std::to_string(i + 1);
      const NoteKey key{name(static_cast<std::uint8_t>(i + 1)), keys[i]->public_key(),
                        NoteKeyType::kCosignatureV1};
      text += "witness " + w + " " + key.vkey() + " http://" + w + "\n";
      names += " " + w;
    }
    return *Policy::parse(text + "group all-of-us " + std::to_string(k) + names +
                          "\nquorum all-of-us\n");
  }
  /// Asks the first `reachable` witnesses for what is pending; the error when one knows better.
  Result<void> witness(std::size_t reachable, std::size_t k = 2) {
    COSHARD_ASSIGN(WitnessDesk desk,
                   WitnessDesk::open(policy(k), {round.params.origin, round.log_key.public_key()}));
    if (!ledger->pending()) return {};
    desk.submit(ledger->pending()->checkpoint, ledger->pending()->note);
    for (auto due = desk.due({}, ledger->hashes()); !due.empty();
         due = desk.due({}, ledger->hashes())) {
      for (const WitnessRequest& request : due) {
        WitnessReply reply{request.witness, 0, "nobody there"};
        if (request.witness < reachable) {
          const WitnessAnswer answer = books[request.witness]->add_checkpoint(request.body, 1);
          reply = {request.witness, answer.status, answer.body};
        }
        COSHARD_ASSIGN(const auto note, desk.take(reply, {}));
        if (note) COSHARD_TRY(ledger->publish_cosigned(*note));
      }
    }
    return {};
  }
  Result<VerifiedLedger> read(std::size_t k) {
    return verify_ledger(*round.folder, ReaderTrust(std::nullopt, policy(k)));
  }
  /// Entries that such a reader sees; 0 when it refuses.
  std::uint64_t seen(std::size_t k) {
    const auto verified = read(k);
    EXPECT_TRUE(verified.has_value()) << (verified ? "" : verified.error().message);
    return verified ? verified->checkpoint.size : 0;
  }
  bool has_checkpoint() {
    return round.folder->read("checkpoint", limits::kNoteBytesMax).has_value();
  }

  SmallRound round;
  std::optional<RoundLedger> ledger;
  std::vector<std::unique_ptr<MemoryStore>> memories;
  std::vector<std::unique_ptr<MemoryFolder>> folders;
  std::vector<std::unique_ptr<crypto::KeyPair>> keys;
  std::vector<std::unique_ptr<WitnessBook>> books;
};

TEST_F(WitnessedLogTest, ReadersSeeTheLastCheckpointThatHasItsQuorum) {
  EXPECT_FALSE(has_checkpoint()) << "signed, its tiles written, and not published";
  ASSERT_TRUE(ledger->pending().has_value());
  ASSERT_OK(witness(1));
  EXPECT_FALSE(has_checkpoint()) << "one of three is no quorum of two";
  ASSERT_OK(witness(2));
  ASSERT_OK(read(2));
  EXPECT_EQ(read(2)->witnesses, (std::vector<std::string>{"w1", "w2"}));
  EXPECT_ERROR(read(3), ErrorCode::kPermissionDenied);
  const std::uint64_t first = seen(2);
  for (const crypto::Identity& node : round.nodes)
    ASSERT_OK(ledger->register_identity(node.certificate()));
  ASSERT_OK(ledger->publish());
  EXPECT_EQ(seen(2), first) << "the next one waits";
  ASSERT_OK(ledger->burn_rest("while it waits"));
  ASSERT_OK(ledger->publish());
  EXPECT_EQ(ledger->pending()->checkpoint.size, first + round.nodes.size())
      << "nothing newer is signed before";
  ASSERT_OK(witness(3));
  EXPECT_EQ(seen(3), first + round.nodes.size());
  ASSERT_OK(ledger->publish());
  ASSERT_OK(witness(3));
  EXPECT_EQ(seen(3), ledger->hashes().size()) << "and then everything";
}

// A9: a crash between signing and publishing. The restart asks for what was signed, and nothing
// new.
TEST_F(WitnessedLogTest, RestartAsksForWhatWasSigned) {
  const Checkpoint first = ledger->pending()->checkpoint;
  for (int again = 0; again < 3; ++again) {
    ledger.reset();
    auto opened = open();
    ASSERT_OK(opened);
    ledger.emplace(std::move(*opened));
    ASSERT_TRUE(ledger->pending().has_value());
    ASSERT_OK(ledger->register_identity(round.nodes[0].certificate()));
    ASSERT_OK(ledger->publish());
    EXPECT_EQ(ledger->pending()->checkpoint, first);
  }
  ASSERT_OK(witness(2));
  ASSERT_OK(ledger->publish());
  ASSERT_OK(witness(2));
  EXPECT_EQ(seen(2), first.size + 1);
}

// A10 and T3: yesterday's store and yesterday's folder. Nothing on this machine knows better; the
// witnesses do, and nothing is signed.
TEST_F(WitnessedLogTest, OldCopyIsStoppedByTheWitnesses) {
  ASSERT_OK(witness(2));
  MemoryStore yesterday;
  ASSERT_OK(yesterday.append(0, *round.store->read(0, *round.store->size()), {}));
  ASSERT_OK(yesterday.swap_signed_checkpoint(std::nullopt, **round.store->signed_checkpoint()));
  const auto files = static_cast<MemoryFolder&>(*round.folder).files;
  ASSERT_OK(ledger->register_identity(round.nodes[0].certificate()));
  ASSERT_OK(ledger->publish());
  ASSERT_OK(witness(2));

  static_cast<MemoryFolder&>(*round.folder).files = files;
  auto restored = RoundLedger::open(yesterday, *round.folder, round.operating, round.log_key,
                                    round.clock, Publication::kWhenCosigned);
  ASSERT_OK(restored);
  const std::string signed_before = **yesterday.signed_checkpoint();
  ASSERT_OK(restored->register_identity(round.nodes[1].certificate()));
  ASSERT_OK(restored->publish());
  ledger.emplace(std::move(*restored));
  const auto refused = witness(2);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kCorruption);
  EXPECT_NE(refused.error().message.find("old copy"), std::string::npos) << refused.error().message;
  EXPECT_EQ(**yesterday.signed_checkpoint(), signed_before) << "no fork was signed";
}

TEST_F(WitnessedLogTest, PolicyMayKnowTheLogAsWell) {
  ASSERT_OK(witness(3, 3));
  const Policy without = policy(3);
  const auto with_log = [&](const NoteKey& key) {
    std::string text = "log " + key.vkey() + "\n";
    for (const PolicyWitness& one : without.witnesses())
      text += "witness " + one.name + " " + one.key.vkey() + "\n";
    return ReaderTrust(std::nullopt, *Policy::parse(text + "group g all w1 w2 w3\nquorum g\n"));
  };
  const NoteKey own{round.params.origin, round.log_key.public_key()};
  ASSERT_OK(verify_ledger(*round.folder, with_log(own)));
  EXPECT_ERROR(verify_ledger(*round.folder, with_log({own.name, test_key(9).public_key()})),
               ErrorCode::kPermissionDenied);
}

}  // namespace
}  // namespace coshard::ledger
