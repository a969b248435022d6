// The attacks on a log, A1 to A12 of reference ledger.md section 9: each a scripted adversary and
// what it achieves, which is nothing but being named.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "ledger/proof_file.h"
#include "ledger/verify.h"
#include "ledger/witness_desk.h"
#include "tests/unit/ledger/toy_log.h"

namespace coshard::ledger {
namespace {

/// A published ledger of one epoch.
struct Published {
  Published() {
    round.params.microbatches = 1;
    round.params.total_steps = 15;
    round.params.epoch_steps = 3;
    auto opened = round.begin();
    EXPECT_TRUE(opened && round.run_epoch(*opened, 0, 1, 3) && opened->publish());
    ledger.emplace(std::move(*opened));
  }
  MemoryFolder& folder() { return static_cast<MemoryFolder&>(*round.folder); }
  NoteKey key() const { return {round.params.origin, round.log_key.public_key()}; }
  std::vector<Bytes> entries() const { return *round.store->read(0, *round.store->size()); }
  /// Writes these entries as a log of their own, signed by the log's key: the operator's own
  /// attack.
  void republish(const std::vector<Bytes>& entries) {
    LevelHashes hashes;
    for (const Bytes& entry : entries) hashes.append(leaf_hash(entry));
    const auto source = [&](std::uint64_t first,
                            std::uint64_t count) -> Result<std::vector<Bytes>> {
      const auto from = entries.begin() + static_cast<std::ptrdiff_t>(first);
      return std::vector<Bytes>(from, from + static_cast<std::ptrdiff_t>(count));
    };
    std::erase_if(folder().files, [](const auto& file) { return file.first.starts_with("tile/"); });
    ASSERT_OK(publish_tiles(folder(), 0, entries.size(), hashes, source));
    const Checkpoint checkpoint{key().name, entries.size(), root_at(hashes, entries.size())};
    ASSERT_OK(folder().write("checkpoint", as_bytes(*sign_checkpoint(checkpoint, round.log_key))));
  }
  SmallRound round;
  std::optional<RoundLedger> ledger;
};

TEST(Attack, A1_FlippedByteIsNamedByFileAndIndex) {
  Published log;
  ASSERT_OK(verify_ledger(log.folder()));
  const auto good = log.folder().files;
  const std::vector<Bytes> entries = log.entries();
  std::size_t start = 0;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    auto& bundle = log.folder().files["tile/entries/000.p/" + std::to_string(entries.size())];
    bundle[start + 2 + entries[i].size() / 2] ^= 1;
    start += 2 + entries[i].size();
    const auto verified = verify_ledger(log.folder());
    ASSERT_FALSE(verified.has_value());
    const std::string& message = verified.error().message;
    EXPECT_NE(message.find("tile/entries/000"), std::string::npos) << message;
    EXPECT_NE(message.find("entry " + std::to_string(i)), std::string::npos) << message;
    log.folder().files = good;
  }
  for (auto& [path, bytes] : log.folder().files) {
    const auto kept = bytes;
    bytes[bytes.size() / 2] ^= 0x10;
    const auto verified = verify_ledger(log.folder());
    ASSERT_FALSE(verified.has_value()) << path;
    const std::string& message = verified.error().message;
    EXPECT_TRUE(message.find(path) != std::string::npos ||
                (path == "log.vkey" && message.find("checkpoint") != std::string::npos))
        << message;
    bytes = kept;
  }
}

TEST(Attack, A2_DroppedReorderedInsertedLeafBreaksConsistency) {
  Published log;
  const std::vector<Bytes> entries = log.entries();
  const std::uint64_t size = entries.size();
  std::vector<Hash> leaves;
  for (const Bytes& entry : entries) leaves.push_back(leaf_hash(entry));
  const std::size_t at = size / 2;
  std::vector<std::vector<Bytes>> rewritten(3, entries);
  rewritten[0].erase(rewritten[0].begin() + static_cast<std::ptrdiff_t>(at));
  std::swap(rewritten[1][at], rewritten[1][at - 1]);
  rewritten[2].insert(rewritten[2].begin() + static_cast<std::ptrdiff_t>(at), entries[at - 1]);
  for (const auto& changed : rewritten) {
    // The operator signs it anew and writes every file to fit: the entries themselves object.
    log.republish(changed);
    EXPECT_FALSE(verify_ledger(log.folder()).has_value());
    // And whoever saw the log before sees that this one does not continue it.
    std::vector<Hash> other;
    for (const Bytes& entry : changed) other.push_back(leaf_hash(entry));
    for (int i = 0; i < 3; ++i) other.push_back(leaf_hash(Bytes{7}));
    EXPECT_FALSE(verify_consistency(size, other.size(), root_of(leaves), root_of(other),
                                    consistency_path(other, size)));
  }
}

TEST(Attack, A3_TwoCheckpointsOfOneSize) {
  ToyLog log(9), fork(4);
  fork.grow(5, "another story ");
  ToyWitness witness(1, log);
  ASSERT_EQ(witness.ask(log.request(0, 9)).status, 200);
  EXPECT_EQ(witness.ask({9, {}, fork.note(9)}).status, 422);
  ASSERT_EQ(witness.evidence_files().size(), 1u);
  EXPECT_TRUE(examine(*ForkEvidence::parse(witness.evidence_files().front())));
  const auto policy = Policy::parse(policy_text(log, {&witness}, 1));
  EXPECT_FALSE(open_cosigned(fork.note(9), *policy)) << "the client has no cosignature to believe";
  const std::string borrowed = fork.note(9) + witness.line(log.checkpoint(9).text());
  EXPECT_FALSE(open_cosigned(borrowed, *policy)) << "nor does another checkpoint's help";
}

TEST(Attack, A4_ReplayOfASmallerOldSize) {
  ToyLog log(9);
  ToyWitness witness(1, log);
  ASSERT_EQ(witness.ask(log.request(0, 5)).status, 200);
  for (std::uint64_t old = 0; old < 5; ++old) {
    const WitnessAnswer answer = witness.ask(log.request(old, 9));
    EXPECT_EQ(answer.status, 409);
    EXPECT_EQ(answer.content_type, kSizeContentType);
    EXPECT_EQ(answer.body, "5\n");
  }
  EXPECT_EQ(witness.ask(log.request(0, 3)).status, 409)
      << "an old checkpoint is not cosigned again";
}

TEST(Attack, A5_CheckpointByARetiredKey) {
  Published log;
  ASSERT_OK(verify_ledger(log.folder(), log.key()));
  const Checkpoint checkpoint = verify_ledger(log.folder())->checkpoint;
  const crypto::KeyPair retired = test_key(211);
  ASSERT_OK(log.folder().write("checkpoint", as_bytes(*sign_checkpoint(checkpoint, retired))));
  EXPECT_ERROR(verify_ledger(log.folder(), log.key()), ErrorCode::kPermissionDenied);
  const NoteKey old{log.key().name, retired.public_key()};
  ASSERT_OK(log.folder().write("log.vkey", as_bytes(old.vkey() + "\n")));
  EXPECT_FALSE(verify_ledger(log.folder()).has_value()) << "nor when the folder names it";
  ToyLog toy(3);
  ToyWitness witness(1, toy);
  const ToyLog by_retired(3, toy.origin, 211);
  EXPECT_EQ(witness.ask(by_retired.request(0, 3)).status, 403);
}

TEST(Attack, A6_MalformedNotes) {
  const ToyLog log(5);
  const NoteKey key = log.note_key();
  const std::string good = log.note();
  ASSERT_TRUE(open_note(good, {&key, 1}));
  std::string crlf = good, nul = good, base64 = good, plus = good, many = good;
  crlf.replace(crlf.find('\n'), 1, "\r\n");
  nul[2] = '\0';
  base64[base64.size() - 20] = '*';
  plus.replace(plus.rfind("example.org"), 11, "example+org");
  const std::string line = good.substr(good.find("\n\n") + 2);
  for (int i = 0; i < 100; ++i) many += line;
  const std::string forms[] = {crlf, nul, base64, plus, many, good.substr(0, good.size() - 1)};
  ToyWitness witness(1, log);
  for (const std::string& form : forms) {
    EXPECT_EQ(open_note(form, {&key, 1}).error().code, ErrorCode::kInvalidArgument) << form;
    EXPECT_EQ(witness.ask({0, {}, form}).status, 400) << form;
  }
}

TEST(Attack, A7_KnownKeyWithABadSignatureSpoilsTheNote) {
  const ToyLog log(5);
  ToyWitness a(1, log), b(2, log);
  const auto policy = Policy::parse(policy_text(log, {&a, &b}, 1));
  const std::string text = log.checkpoint(5).text();
  const std::string good = log.note(5) + a.line(text);
  ASSERT_TRUE(open_cosigned(good, *policy));
  EXPECT_FALSE(open_cosigned(good + b.line(log.checkpoint(4).text()), *policy));
  EXPECT_FALSE(open_cosigned(good + note_line(log.note_key(), Bytes(64, 1)), *policy));
  EXPECT_FALSE(open_cosigned(good + note_line(b.note_key(), Bytes(64, 1)), *policy)) << "too short";
  ToyWitness stranger(9, log);
  EXPECT_TRUE(open_cosigned(good + note_line(stranger.note_key(), Bytes(72, 1)), *policy))
      << "a key that nobody knows says nothing";
}

TEST(Attack, A8_WrongOriginUnderTheRightKey) {
  const ToyLog log(5);
  const ToyLog other(5, "example.org/coshard/m/other");
  const std::string note = *sign_note(other.checkpoint(5).text(), log.origin, log.key);
  EXPECT_EQ(open_checkpoint(note, log.note_key()).error().code, ErrorCode::kPermissionDenied);
  ToyWitness witness(1, log);
  const auto policy = Policy::parse(policy_text(log, {&witness}, 1));
  const std::string cosigned = note + witness.line(other.checkpoint(5).text());
  EXPECT_FALSE(open_cosigned(cosigned, *policy));
  EXPECT_EQ(witness.ask({0, {}, note}).status, 404) << "the witness looks at the origin";
}

// Killed at every write of a publication, and started again: what was acknowledged is there, and
// every checkpoint that anybody saw is a prefix of the next.
TEST(Attack, A9_CrashBetweenCommitAndPublish) {
  for (int writes = 0; writes < 12; ++writes) {
    Published log;
    const auto seen = verify_ledger(log.folder());
    ASSERT_OK(seen);
    ASSERT_OK(log.ledger->burn_rest("before the crash"));
    ASSERT_OK(log.ledger->commit());  // acknowledged from here on
    const std::uint64_t acknowledged = *log.round.store->size();
    log.folder().writes_left = writes;
    const bool published = log.ledger->publish().has_value();
    log.folder().writes_left = -1;
    log.ledger.reset();
    auto again = log.round.open();
    ASSERT_OK(again);
    ASSERT_OK(again->publish());
    const auto after = verify_ledger(log.folder());
    ASSERT_OK(after);
    EXPECT_GE(after->checkpoint.size, acknowledged);
    EXPECT_EQ(root_at(after->hashes, seen->checkpoint.size), seen->checkpoint.root);
    if (published) break;
  }
}

TEST(Attack, A10_YesterdaysDatabaseRefusesToSign) {
  Published log;
  MemoryStore yesterday;
  ASSERT_OK(yesterday.append(0, log.entries(), {}));
  ASSERT_OK(yesterday.swap_signed_checkpoint(std::nullopt, **log.round.store->signed_checkpoint()));
  ASSERT_OK(log.ledger->burn_rest("today"));
  ASSERT_OK(log.ledger->publish());
  auto restored = RoundLedger::open(yesterday, log.folder(), log.round.operating, log.round.log_key,
                                    log.round.clock);
  ASSERT_FALSE(restored.has_value());
  EXPECT_EQ(restored.error().code, ErrorCode::kCorruption);
  EXPECT_NE(restored.error().message.find("Nothing is signed"), std::string::npos);
}

TEST(Attack, A11_TilePathsThatNobodyWrites) {
  for (const char* path : {"tile/0/../0/000", "../tile/0/000", "tile/0/x1000", "tile/0/1000",
                           "tile/0/000.p/256", "tile/0/000.p/0", "tile/0/000.p/01", "tile/0/000.p/",
                           "tile/0/x000/000", "tile/-1/000", "tile/64/000", "tile/0/00",
                           "tile/entries/x001", "tile/0/000/", "tile//000", "tile/00/000"}) {
    EXPECT_FALSE(TileId::parse(path).has_value()) << path;
  }
  Published log;
  for (const char* path :
       {"tile/0/000.p/256", "tile/0/000.p/0", "tile/0/x1000", "tile/../secret"}) {
    log.folder().files[path] = Bytes{1};
    EXPECT_FALSE(verify_ledger(log.folder()).has_value()) << path;
    log.folder().files.erase(path);
  }
}

TEST(Attack, A12_EntryOf65536BytesIsRefusedBeforeSequencing) {
  Published log;
  const std::uint64_t before = log.ledger->hashes().size();
  EXPECT_ERROR(log.ledger->burn_rest(std::string(65'536, 'x')), ErrorCode::kInvalidArgument);
  EXPECT_EQ(log.ledger->hashes().size(), before);
  EXPECT_FALSE(decode_entry(Bytes(65'536, 0)).has_value());
  ASSERT_OK(log.ledger->publish());
  ASSERT_OK(verify_ledger(log.folder()));
}

}  // namespace
}  // namespace coshard::ledger
