// Policies, cosignatures, proofs and evidence: whom a reader believes, and what he can keep.
// SPDX-License-Identifier: Apache-2.0
#include "ledger/policy.h"

#include <gtest/gtest.h>

#include "ledger/proof_file.h"
#include "tests/unit/ledger/toy_log.h"

namespace coshard::ledger {
namespace {

class PolicyTest : public ::testing::Test {
 protected:
  std::string vkey(const ToyWitness& witness) { return witness.note_key().vkey(); }
  std::string cosigned(std::uint64_t at, const std::vector<const ToyWitness*>& witnesses) {
    std::string note = log.note(at);
    for (const ToyWitness* one : witnesses) note += one->line(log.checkpoint(at).text());
    return note;
  }
  std::string refusal(const std::string& text) {
    const auto policy = Policy::parse(text);
    return policy ? "" : policy.error().message;
  }
  ToyLog log{300};
  ToyWitness a{1, log}, b{2, log}, c{3, log}, d{4, log}, e{5, log};
};

TEST_F(PolicyTest, EveryNumberOfWitnessesAgainstEveryQuorum) {
  const std::vector<const ToyWitness*> all{&a, &b, &c};
  for (std::size_t k = 1; k <= 3; ++k) {
    const auto policy = Policy::parse(policy_text(log, all, k));
    ASSERT_TRUE(policy.has_value()) << policy.error().message;
    for (unsigned subset = 0; subset < 8; ++subset) {
      std::vector<const ToyWitness*> some;
      for (unsigned i = 0; i < 3; ++i)
        if ((subset >> i & 1) != 0) some.push_back(all[i]);
      const auto opened = open_cosigned(cosigned(300, some), *policy);
      EXPECT_EQ(opened.has_value(), some.size() >= k) << k << " of 3, signed by " << subset;
      if (opened) {
        EXPECT_EQ(opened->witnesses.size(), some.size());
      } else {
        EXPECT_EQ(opened.error().code, ErrorCode::kPermissionDenied);
      }
    }
  }
}

TEST_F(PolicyTest, NestedGroups) {
  const std::string text = "# two organisations\n\n\tlog " + log.note_key().vkey() +
                           " https://log.example \n"
                           "witness X1 " +
                           vkey(a) + "\nwitness X2 " + vkey(b) + "\nwitness X3 " + vkey(c) +
                           "\ngroup X 2 X1 X2 X3\nwitness Y1 " + vkey(d) + "\nwitness Y2 " +
                           vkey(e) + "\ngroup Y any Y1 Y2\ngroup both all X Y\nquorum both\n";
  const auto policy = Policy::parse(text);
  ASSERT_TRUE(policy.has_value()) << policy.error().message;
  EXPECT_EQ(policy->describe_quorum(), "2 of (2 of X1, X2, X3), (1 of Y1, Y2)");
  EXPECT_EQ(policy->logs().front().url, "https://log.example");
  EXPECT_TRUE(open_cosigned(cosigned(7, {&a, &c, &e}), *policy));
  EXPECT_FALSE(open_cosigned(cosigned(7, {&a, &b, &c}), *policy));
  EXPECT_FALSE(open_cosigned(cosigned(7, {&a, &d, &e}), *policy));
}

TEST_F(PolicyTest, LinesThatAreWrongAreNamed) {
  const std::string w = "witness w " + vkey(a) + "\n";
  const std::pair<std::string, const char*> cases[] = {
      {w, "one line \"quorum NAME\" was expected"},
      {"quorum none", "end in a newline"},
      {"quorum none\nquorum none\n", "line 2: one quorum"},
      {"quorum w\n", "line 1: a witness or group of an earlier line was expected, found \"w\""},
      {w + w + "quorum w\n", "line 2: witness w has the key of w"},
      {w + "witness w " + vkey(b) + "\n", "line 2: the name \"w\" is taken"},
      {"witness none " + vkey(b) + "\n", "line 1: the name \"none\" is taken"},
      {w + "group g 0 w\n", "line 2: all, any or a number from 1 to 1"},
      {w + "group g 2 w\n", "line 2: all, any or a number from 1 to 1"},
      {w + "group g 01 w\n", "line 2: all, any or a number"},
      {w + "group g any\n", "line 2: \"group NAME"},
      {w + "group g any w w\n", "line 2: \"w\" is a member already"},
      {w + "group g any w\ngroup h any w\n", "line 3: \"w\" is a member already"},
      {"group g any g\n", "line 1: a witness or group of an earlier line"},
      {"log " + vkey(a) + "\n", "line 1: a note key"},
      {"witness w " + log.note_key().vkey() + "\n", "line 1: a witness key"},
      {"log " + log.note_key().vkey() + "\nlog " + log.note_key().vkey() + " u\n", "line 2: log"},
      {"witness w\n", "line 1: \"witness NAME VKEY"},
      {"frobnicate\n", "line 1: log, witness, group or quorum was expected"},
      {std::string("quorum none\r\n"), "lines of text"}};
  for (const auto& [text, message] : cases) {
    EXPECT_NE(refusal(text).find(message), std::string::npos) << text << refusal(text);
  }
}

TEST_F(PolicyTest, QuorumNoneWantsOnlyTheLog) {
  const auto policy = Policy::parse("quorum none\n");
  ASSERT_TRUE(policy.has_value());
  EXPECT_TRUE(open_cosigned(log.note(5), *policy, log.note_key()));
  EXPECT_FALSE(open_cosigned(log.note(5), *policy)) << "no log is known";
}

TEST_F(PolicyTest, PinnedKeyMustBeThePolicys) {
  const auto policy = Policy::parse(policy_text(log, {&a}, 1));
  const NoteKey other{log.origin, test_key(9).public_key()};
  EXPECT_TRUE(open_cosigned(cosigned(5, {&a}), *policy, log.note_key()));
  EXPECT_FALSE(open_cosigned(cosigned(5, {&a}), *policy, other));
}

// ---- cosignatures -------------------------------------------------------------------------------

TEST_F(PolicyTest, CosignatureKeysAreNotLogKeys) {
  const std::string remora = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2";
  const auto key = NoteKey::parse(remora, NoteKeyType::kCosignatureV1);
  ASSERT_TRUE(key.has_value()) << "a public witness's key";
  EXPECT_EQ(key->vkey(), remora);
  EXPECT_FALSE(NoteKey::parse_vkey(remora));
  EXPECT_FALSE(NoteKey::parse(log.note_key().vkey(), NoteKeyType::kCosignatureV1));
  // One key in two roles: a witness's line does not verify as a log's, nor the other way round.
  const std::string text = log.checkpoint(5).text();
  const NoteKey as_witness{log.origin, log.key.public_key(), NoteKeyType::kCosignatureV1};
  EXPECT_FALSE(open_note(log.note(5), {&as_witness, 1}));
  const NoteKey as_log = log.note_key();
  EXPECT_FALSE(open_note(text + "\n" + cosign(text, log.origin, log.key, 1), {&as_log, 1}));
  EXPECT_TRUE(open_note(text + "\n" + cosign(text, log.origin, log.key, 1), {&as_witness, 1}));
}

TEST_F(PolicyTest, TimeIsSignedAndDuplicatesCountOnce) {
  const auto policy = Policy::parse(policy_text(log, {&a, &b}, 2));
  const std::string text = log.checkpoint(5).text();
  const std::string twice =
      log.note(5) + cosign(text, a.name, a.key, 1) + cosign(text, a.name, a.key, 2);
  EXPECT_FALSE(open_cosigned(twice, *policy)) << "one witness at two times is one witness";
  Bytes early;
  put_be<std::uint64_t>(early, 1);
  const auto lines = *parse_note_lines(cosign(text, b.name, b.key, 2));
  append(early, ByteView(lines[0].signature).subspan(8));
  const auto refused = open_cosigned(cosigned(5, {&a}) + note_line(b.note_key(), early), *policy);
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message.find("is false"), std::string::npos);
  Bytes far;
  put_be<std::uint64_t>(far, ~std::uint64_t{0});
  append(far, b.key.sign(as_bytes("cosignature/v1\ntime 18446744073709551615\n" + text)));
  EXPECT_FALSE(open_cosigned(cosigned(5, {&a}) + note_line(b.note_key(), far), *policy));
}

TEST_F(PolicyTest, LinesAreTakenFromAnAnswerAndAddedOnce) {
  const std::string text = log.checkpoint(5).text();
  const std::string answer = b.line(text) + a.line(text);
  const auto line = take_cosignature(log.note(5), answer, a.note_key());
  ASSERT_TRUE(line.has_value());
  EXPECT_EQ(*line, a.line(text));
  const std::string once = with_lines(log.note(5), *line);
  EXPECT_EQ(with_lines(once, *line), once);
  EXPECT_FALSE(take_cosignature(log.note(5), answer, c.note_key()));
  EXPECT_FALSE(take_cosignature(log.note(6), answer, a.note_key()));
}

// ---- paths --------------------------------------------------------------------------------------

TEST(TreePath, EqualsTheSlowWayForEverySize) {
  ToyLog log(600);
  for (const std::uint64_t size : {1u, 2u, 3u, 255u, 256u, 257u, 511u, 512u, 513u, 600u}) {
    const std::span<const Hash> leaves(log.leaves.data(), size);
    EXPECT_EQ(root_at(log.hashes, size), root_of(leaves));
    for (std::uint64_t i = 0; i < size; i += 1 + size / 50) {
      EXPECT_EQ(inclusion_path(log.hashes, size, LogIndex(i)), inclusion_path(leaves, LogIndex(i)));
      EXPECT_EQ(consistency_path(log.hashes, size, i + 1), consistency_path(leaves, i + 1));
      if (i + 1 == size) continue;
      const auto roots = roots_of_path(i + 1, size, whole_path(log.hashes, size, i + 1));
      ASSERT_TRUE(roots.has_value());
      EXPECT_EQ(roots->old_root, root_of(leaves.first(i + 1)));
      EXPECT_EQ(roots->new_root, root_of(leaves));
    }
  }
}

// ---- proofs -------------------------------------------------------------------------------------

TEST_F(PolicyTest, ProofFileIsCheckedWithoutTheLog) {
  const auto policy = Policy::parse(policy_text(log, {&a, &b}, 2));
  for (const std::uint64_t index : {0u, 17u, 255u, 256u, 299u}) {
    const ProofFile proof{log.entries[index], LogIndex(index),
                          inclusion_path(log.hashes, 300, LogIndex(index)),
                          cosigned(300, {&a, &b})};
    const auto read = ProofFile::parse(proof.format());
    ASSERT_TRUE(read.has_value()) << read.error().message;
    EXPECT_EQ(read->format(), proof.format());
    EXPECT_TRUE(verify_proof(*read, log.entries[index], *policy));
    EXPECT_FALSE(verify_proof(*read, log.entries[(index + 1) % 300], *policy));
    ProofFile moved = *read;
    moved.index = LogIndex(index == 0 ? 1 : index - 1);
    EXPECT_FALSE(verify_proof(moved, log.entries[index], *policy));
    ProofFile unwitnessed = *read;
    unwitnessed.note = cosigned(300, {&a});
    EXPECT_FALSE(verify_proof(unwitnessed, log.entries[index], *policy));
  }
}

TEST_F(PolicyTest, ProofFileIsReadStrictly) {
  const ProofFile proof{std::nullopt, LogIndex(5), inclusion_path(log.hashes, 9, LogIndex(5)),
                        log.note(9)};
  const std::string good = proof.format();
  ASSERT_TRUE(ProofFile::parse(good));
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    return text;
  };
  for (const std::string& bad :
       {std::string(), good.substr(1), changed("index 5", "index 05"), changed("index 5", "index"),
        changed("index 5", "index -5"), changed("\n\n", "\n"), changed("@v1", "@v2"),
        changed("index 5", "extra *\nindex 5"), changed("index 5\n", "index 5\nAAAA\n"),
        good.substr(0, good.size() - 1)}) {
    EXPECT_FALSE(ProofFile::parse(bad).has_value()) << bad;
  }
}

// ---- evidence -----------------------------------------------------------------------------------

TEST_F(PolicyTest, EvidenceHoldsForForksAndForNothingElse) {
  ToyLog fork(100);
  fork.grow(200, "another story ");
  const NoteKey key = log.note_key();
  for (const std::uint64_t size : {128u, 130u, 200u, 256u, 299u}) {
    const ForkEvidence shown{key, log.note(size), fork.note(300),
                             whole_path(fork.hashes, 300, size)};
    const auto read = ForkEvidence::parse(shown.format());
    ASSERT_TRUE(read.has_value()) << read.error().message;
    const auto examined = examine(*read);
    ASSERT_TRUE(examined.has_value()) << examined.error().message;
    EXPECT_NE(examined->words.find("signed two checkpoints"), std::string::npos);
    const ForkEvidence honest{key, log.note(size), log.note(300),
                              whole_path(log.hashes, 300, size)};
    EXPECT_EQ(examine(honest).error().code, ErrorCode::kFailedPrecondition);
    ForkEvidence garbled = honest;
    garbled.path[0][0] ^= 1;
    EXPECT_EQ(examine(garbled).error().code, ErrorCode::kFailedPrecondition);
  }
  EXPECT_EQ(
      examine({key, log.note(50), fork.note(300), whole_path(fork.hashes, 300, 50)}).error().code,
      ErrorCode::kFailedPrecondition)
      << "before the fork both are one";
  EXPECT_TRUE(examine({key, log.note(300), fork.note(300), {}}));
  EXPECT_FALSE(examine({key, log.note(300), log.note(300), {}}));
  const ToyLog stranger(300, log.origin, 99);
  EXPECT_EQ(examine({key, log.note(300), stranger.note(300), {}}).error().code,
            ErrorCode::kPermissionDenied)
      << "anybody can sign with another key";
}

TEST_F(PolicyTest, EvidenceIsReadStrictly) {
  ToyLog fork(1);
  fork.grow(2, "another story ");
  const std::string good =
      ForkEvidence{log.note_key(), log.note(2), fork.note(3), whole_path(fork.hashes, 3, 2)}
          .format();
  ASSERT_TRUE(ForkEvidence::parse(good));
  for (std::size_t cut = 0; cut < good.size(); cut += 7) {
    const auto read = ForkEvidence::parse(good.substr(0, cut));
    EXPECT_TRUE(!read || read->format() == good.substr(0, cut));
  }
  EXPECT_FALSE(ForkEvidence::parse(good + "x"));
  EXPECT_FALSE(ForkEvidence::parse(good + "path AAAA\n"));
}

}  // namespace
}  // namespace coshard::ledger
