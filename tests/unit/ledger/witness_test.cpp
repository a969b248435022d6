// A witness's answers, in the order of the matrix that other implementations are held to, and the
// log's side of the conversation.
// SPDX-License-Identifier: Apache-2.0
#include "ledger/witness.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "ledger/witness_desk.h"
#include "tests/unit/ledger/toy_log.h"

namespace coshard::ledger {
namespace {

class WitnessTest : public ::testing::Test {
 protected:
  int status(const AddCheckpoint& request) { return witness.ask(request).status; }
  int status_of_text(const std::string& body) {
    return witness.book.add_checkpoint(body, 1'700'000'000).status;
  }
  ToyLog log{6};
  ToyWitness witness{1, log};
};

// The fourteen steps, threaded through one witness: what was refused changes nothing.
TEST_F(WitnessTest, AnswersTheMatrix) {
  // 1 the first checkpoint of a log, old size 0 and no proof
  const WitnessAnswer first = witness.ask(log.request(0, 1));
  ASSERT_EQ(first.status, 200) << first.body;
  const auto line = take_cosignature(log.note(1), first.body, witness.note_key());
  ASSERT_TRUE(line.has_value()) << line.error().message;
  // 2 the next one, with its proof
  EXPECT_EQ(status(log.request(1, 3)), 200);
  // 3 a stale old size: told the size, with its content type
  const WitnessAnswer stale = witness.ask(log.request(1, 5));
  EXPECT_EQ(stale.status, 409);
  EXPECT_EQ(stale.content_type, kSizeContentType);
  EXPECT_EQ(stale.body, "3\n");
  // 4 an old size that the witness has not seen yet
  EXPECT_EQ(witness.ask(log.request(4, 5)).body, "3\n");
  // 5 an origin that it does not know
  const ToyLog stranger(3, "example.org/coshard/m/stranger");
  EXPECT_EQ(status(stranger.request(0, 3)), 404);
  // 6 a key that is not the log's
  const ToyLog impostor(5, log.origin, 78);
  EXPECT_EQ(status(impostor.request(3, 5)), 403);
  // 7 the log's name and key id over a false signature
  AddCheckpoint forged = log.request(3, 5);
  forged.note = log.checkpoint(5).text() + "\n" + note_line(log.note_key(), Bytes(64, 0));
  EXPECT_EQ(status(forged), 403);
  // 8 a proof with another hash, 9 one without its last hash, 10 one too many
  AddCheckpoint bad = log.request(3, 5);
  bad.proof[0][0] ^= 1;
  EXPECT_EQ(status(bad), 422);
  bad = log.request(3, 5);
  bad.proof.pop_back();
  EXPECT_EQ(status(bad), 422);
  bad = log.request(3, 5);
  bad.proof.push_back(Hash{});
  EXPECT_EQ(status(bad), 422);
  // 11 an old size above the checkpoint's
  bad = log.request(0, 2);
  bad.old_size = 3;
  EXPECT_EQ(status(bad), 400);
  // 12 a body that is none
  const std::string good = log.request(3, 5).format();
  EXPECT_EQ(status_of_text(good.substr(0, good.find("\n\n")) + "\n" + log.note(5)), 400);
  EXPECT_EQ(status_of_text(""), 400);
  EXPECT_EQ(status_of_text(good + "x"), 400);
  EXPECT_EQ(status_of_text("old 03" + good.substr(5)), 400);
  EXPECT_EQ(status_of_text("old +3" + good.substr(5)), 400);
  // 13 the same size and root again: cosigned again
  EXPECT_EQ(status(log.request(3, 3)), 200);
  // 14 the same size and another root
  ToyLog fork(2);
  fork.grow(1, "another story ");
  EXPECT_EQ(status({3, {}, fork.note(3)}), 422);
  EXPECT_EQ(status(log.request(3, 5)), 200);
}

TEST_F(WitnessTest, ForkOfOneSizeLeavesEvidence) {
  ASSERT_EQ(status(log.request(0, 4)), 200);
  ToyLog fork(2);
  fork.grow(4, "another story ");
  EXPECT_EQ(status({4, {}, fork.note(4)}), 422);
  EXPECT_EQ(status({4, {}, fork.note(4)}), 422);
  ASSERT_EQ(witness.evidence_files().size(), 1u) << "the same attempt twice is one file";
  const auto evidence = ForkEvidence::parse(witness.evidence_files().front());
  ASSERT_TRUE(evidence.has_value()) << evidence.error().message;
  const auto shown = examine(*evidence);
  ASSERT_TRUE(shown.has_value()) << shown.error().message;
  EXPECT_NE(shown->first.root, shown->second.root);
}

// Later, with the other history's own proof: it leads to the new root, and not from what was
// cosigned.
TEST_F(WitnessTest, ForkThatGrewOnLeavesEvidenceToo) {
  ASSERT_EQ(status(log.request(0, 3)), 200);
  ToyLog fork(2);
  fork.grow(4, "another story ");
  EXPECT_EQ(status(fork.request(3, 6)), 422);
  ASSERT_EQ(witness.evidence_files().size(), 1u);
  const auto shown = examine(*ForkEvidence::parse(witness.evidence_files().front()));
  ASSERT_TRUE(shown.has_value()) << shown.error().message;
  EXPECT_EQ(shown->first.size, 3u);
  EXPECT_EQ(shown->second.size, 6u);
}

// A proof that anybody may have garbled says nothing about the log.
TEST_F(WitnessTest, GarbledProofIsNoEvidence) {
  ASSERT_EQ(status(log.request(0, 3)), 200);
  AddCheckpoint bad = log.request(3, 6);
  bad.proof.back()[3] ^= 4;
  EXPECT_EQ(status(bad), 422);
  EXPECT_TRUE(witness.evidence_files().empty());
}

TEST_F(WitnessTest, NothingIsToldThatIsNotDurable) {
  ASSERT_EQ(status(log.request(0, 3)), 200);
  witness.memory.fails = true;
  EXPECT_EQ(status(log.request(3, 5)), 500);
  witness.memory.fails = false;
  EXPECT_EQ(witness.ask(log.request(5, 6)).body, "3\n") << "the failed one is not remembered";
}

TEST_F(WitnessTest, RemembersAcrossRestarts) {
  ASSERT_EQ(status(log.request(0, 5)), 200);
  WitnessBook again(witness.memory, witness.folder,
                    {witness.name, &witness.key, {{log.origin, {log.note_key()}}}});
  EXPECT_EQ(again.add_checkpoint(log.request(0, 2).format(), 0).body, "5\n");
  EXPECT_EQ(again.add_checkpoint(log.request(5, 6).format(), 0).status, 200);
}

// Many logs at once, and threads that send one log's checkpoints twice: each answer is durable, and
// those that came together shared a transaction.
TEST(WitnessGroups, RequestsThatComeTogetherShareATransaction) {
  constexpr std::uint64_t kLogs = 8, kSize = 40;
  std::vector<ToyLog> logs;
  const crypto::KeyPair key = test_key(3);
  WitnessSetup setup{"witness.example", &key, {}};
  for (std::uint64_t i = 0; i < kLogs; ++i) {
    logs.emplace_back(kSize, "example.org/coshard/m/toy-" + std::to_string(i),
                      static_cast<std::uint8_t>(100 + i));
    setup.logs[logs.back().origin] = {logs.back().note_key()};
  }
  FailingStore memory;
  MemoryFolder evidence;
  WitnessBook book(memory, evidence, setup);
  std::atomic<int> taken = 0, conflicts = 0, others = 0;
  {
    std::vector<std::jthread> clients;
    for (std::uint64_t i = 0; i < 2 * kLogs; ++i) {
      clients.emplace_back([&, &log = logs[i % kLogs]] {
        for (std::uint64_t at = 1; at <= kSize; ++at) {
          const int status = book.add_checkpoint(log.request(at - 1, at).format(), 1).status;
          ++(status == 200 ? taken : status == 409 ? conflicts : others);
        }
      });
    }
  }
  EXPECT_EQ(others, 0);
  EXPECT_EQ(taken, static_cast<int>(kLogs * kSize)) << "each size of each log once";
  EXPECT_EQ(conflicts, taken) << "its twin hears that it is known";
  EXPECT_LE(memory.transactions, taken);
  for (const ToyLog& log : logs) {
    const auto known = WitnessBook(memory, evidence, setup).last(log.origin);
    ASSERT_OK(known);
    EXPECT_TRUE(known->starts_with(log.checkpoint(kSize).text()));
  }
}

// Public vectors: tree heads with real signatures by a key that is not ours, and the answers that
// another witness gives to them (FiloSottile/torchwood, cmd/litewitness/testdata).
TEST(WitnessVectors, AnswersAsLitewitnessDoes) {
  const auto hex32 = [](const char* text) { return *to_array<32>(*from_hex(text)); };
  const NoteKey key{
      "sigsum.org/v1/tree/4d6d8825a6bb689d459628312889dfbb0bcd41b5211d9e1ce768b0ff0309e562",
      hex32("ffdc2d4d98e4124d3feaf788c0c2f9abfd796083d1f0495437f302ec79cf100f")};
  const auto head = [&](std::uint64_t size, const char* root, const char* signature) {
    return Checkpoint{key.name, size, hex32(root)}.text() + "\n" +
           note_line(key, *from_hex(signature));
  };
  const auto entry = [](std::uint8_t number) {
    Hash hash{};
    hash[0] = 0x2a;
    hash[1] = number;
    return hash;
  };
  const std::string one = head(
      1, "2a00000000000000000000000000000000000000000000000000000000000000",
      "b7cf653aa9c565a1ca359db81bd3bc656ab2890c6ea4c0aec42295e80aa05049423505026434f987923ccdf07d"
      "440c152cd59e736e5914d8ada8d7a4d51b2106");
  const char* const root3 = "45c088d4d939e9971298811f227d1295eaad57bbafae55cd71c171e7de48c25d";
  const std::string signature3 =
      "655bb4871d15bc05032d67eece88900c4863a27f190393b99176391577f5def971b023d9a418c3226b7b7ea47b33"
      "6"
      "86d9b3849451dadc6b07c007c595af1ea0";
  const std::string three = head(3, root3, (signature3 + "a").c_str());
  const std::string forged = head(3, root3, (signature3 + "b").c_str());
  const std::string five = head(
      5, "42bb57ad06420afa4882c4a63ac6a1ec77480b330b2f20dfc53a0caa5f564e36",
      "0fc43899968b48b5150b0e8fe7ad07b17c21c7056a6fe381deb0cd19ece103d59b2119b5dbe5d54d8a1262ce67"
      "f01245c5898b4b56f747495804a17a2eec0f0c");
  const auto own = test_key(1);
  MemoryStore memory;
  MemoryFolder folder;
  WitnessBook book(memory, folder, {"witness.example", &own, {{key.name, {key}}}});
  const auto ask = [&](const AddCheckpoint& request) {
    return book.add_checkpoint(request.format(), 1).status;
  };
  const std::vector<Hash> to3{entry(1), entry(2)};
  EXPECT_EQ(ask({0, {}, one}), 200);
  EXPECT_EQ(ask({1, to3, forged}), 403);
  EXPECT_EQ(ask({1, {}, three}), 422);
  Hash other = entry(2);
  other[31] = 1;
  EXPECT_EQ(ask({1, {entry(1), other}, three}), 422);
  EXPECT_EQ(ask({1, to3, three}), 200);
  const Hash right = hex32("f9f50357e93def4078237b8aaea24ce1a3f5965a0f64ff26bebd99e30470d8b2");
  EXPECT_EQ(ask({1, {entry(1), right, entry(4)}, five}), 409);
  const Hash left = hex32("c2088815d65f60dbfa594d4e96504ab169cb6084bf0c132ab7c521fd2e0eba41");
  EXPECT_EQ(ask({3, {entry(2), entry(3), left, entry(4)}, five}), 200);
}

// ---- the log's side -----------------------------------------------------------------------------

class DeskTest : public ::testing::Test {
 protected:
  WitnessDesk open_desk(std::size_t k) {
    auto policy = Policy::parse(policy_text(log, {&a, &b, &c}, k));
    EXPECT_TRUE(policy.has_value()) << (policy ? "" : policy.error().message);
    auto desk = WitnessDesk::open(std::move(*policy), log.note_key());
    EXPECT_TRUE(desk.has_value()) << (desk ? "" : desk.error().message);
    return std::move(*desk);
  }
  /// Carries requests and answers until nothing is due; the last note with a quorum.
  std::optional<std::string> talk(WitnessDesk& desk, std::vector<ToyWitness*> reachable) {
    std::optional<std::string> out;
    for (auto due = desk.due(now, log.hashes); !due.empty(); due = desk.due(now, log.hashes)) {
      for (const WitnessRequest& request : due) {
        ToyWitness* witness = reachable[request.witness];
        const WitnessAnswer answer =
            witness == nullptr ? WitnessAnswer{0, "", "nobody there"}
                               : witness->book.add_checkpoint(request.body, 1'700'000'000);
        auto taken = desk.take({request.witness, answer.status, answer.body}, now);
        if (!taken) {
          refusal = taken.error().message;
          return std::nullopt;
        }
        if (*taken) out = **taken;
      }
    }
    return out;
  }
  ToyLog log{10};
  ToyWitness a{1, log}, b{2, log}, c{3, log};
  TimePoint now{};
  std::string refusal;
};

TEST_F(DeskTest, CollectsAQuorumAndThenTheRest) {
  WitnessDesk desk = open_desk(2);
  desk.submit(log.checkpoint(4), log.note(4));
  EXPECT_FALSE(desk.is_met());
  const auto note = talk(desk, {&a, &b, &c});
  ASSERT_TRUE(note.has_value());
  const auto opened = open_cosigned(*note, desk.policy());
  ASSERT_TRUE(opened.has_value()) << opened.error().message;
  EXPECT_EQ(opened->witnesses.size(), 3u);
  desk.submit(log.checkpoint(9), log.note(9));
  EXPECT_FALSE(desk.is_met());
  EXPECT_TRUE(talk(desk, {&a, &b, &c}).has_value()) << "with consistency proofs this time";
}

TEST_F(DeskTest, AsksAgainLaterWhomItDidNotReach) {
  WitnessDesk desk = open_desk(2);
  desk.submit(log.checkpoint(4), log.note(4));
  EXPECT_FALSE(talk(desk, {&a, nullptr, nullptr}).has_value());
  EXPECT_NE(desk.complaint().find("w2: nobody there"), std::string::npos) << desk.complaint();
  EXPECT_TRUE(desk.due(now, log.hashes).empty()) << "not before the pause is over";
  now += limits::kWitnessRetryMin;
  EXPECT_EQ(desk.due(now, log.hashes).size(), 2u);
  for (std::size_t i : {1u, 2u}) ASSERT_TRUE(desk.take({i, 0, "nobody there"}, now).has_value());
  now += limits::kWitnessRetryMin;
  EXPECT_TRUE(desk.due(now, log.hashes).empty()) << "the pause doubles";
  now += limits::kWitnessRetryMin;
  EXPECT_TRUE(talk(desk, {&a, &b, &c}).has_value());
}

TEST_F(DeskTest, LearnsTheSizeFromAWitnessThatKnowsTheLog) {
  for (ToyWitness* one : {&a, &b, &c}) ASSERT_EQ(one->ask(log.request(0, 5)).status, 200);
  WitnessDesk desk = open_desk(3);  // a coordinator that was started again
  desk.submit(log.checkpoint(8), log.note(8));
  EXPECT_TRUE(talk(desk, {&a, &b, &c}).has_value());
}

// T3: yesterday's database.
TEST_F(DeskTest, RefusesToGoOnWhenAWitnessKnowsMore) {
  ASSERT_EQ(a.ask(log.request(0, 9)).status, 200);
  WitnessDesk desk = open_desk(1);
  desk.submit(log.checkpoint(6), log.note(6));
  EXPECT_FALSE(talk(desk, {&a, nullptr, nullptr}).has_value());
  EXPECT_NE(refusal.find("witness w1 has cosigned 9 entries of this log, which has 6"),
            std::string::npos)
      << refusal;
}

// The same, after the restored log has grown beyond what the witness saw.
TEST_F(DeskTest, RefusesToGoOnWhenAWitnessRemembersAnotherHistory) {
  ToyLog lost(4);
  lost.grow(3, "what the backup did not have ");
  ASSERT_EQ(b.ask(lost.request(0, 7)).status, 200);
  WitnessDesk desk = open_desk(1);
  desk.submit(log.checkpoint(10), log.note(10));
  EXPECT_FALSE(talk(desk, {nullptr, &b, nullptr}).has_value());
  EXPECT_NE(refusal.find("w2 remembers another history of the first 7"), std::string::npos)
      << refusal;
}

TEST_F(DeskTest, FalseAnswersCountForNothing) {
  WitnessDesk desk = open_desk(1);
  desk.submit(log.checkpoint(4), log.note(4));
  EXPECT_EQ(desk.due(now, log.hashes).size(), 3u);
  const std::string answers[] = {a.line(log.checkpoint(5).text()),  // of another checkpoint
                                 a.line(log.checkpoint(4).text()),  // another witness's
                                 "thank you\n"};
  for (std::size_t i = 0; i < 3; ++i) {
    const auto taken = desk.take({i, 200, answers[i]}, now);
    ASSERT_TRUE(taken.has_value());
    EXPECT_FALSE(taken->has_value()) << answers[i];
  }
  EXPECT_FALSE(desk.is_met());
}

TEST_F(DeskTest, QuorumMustBeWithinReach) {
  std::string text = policy_text(log, {&a, &b, &c}, 3);
  text.replace(text.find(" http://w2"), 10, "");
  const auto desk = WitnessDesk::open(*Policy::parse(text), log.note_key());
  ASSERT_FALSE(desk.has_value());
  const ToyLog other(1, "example.org/coshard/m/other");
  EXPECT_FALSE(WitnessDesk::open(*Policy::parse(policy_text(log, {&a}, 1)), other.note_key()));
}

}  // namespace
}  // namespace coshard::ledger
