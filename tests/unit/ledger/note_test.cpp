// Signed notes and checkpoints: the examples of the C2SP specification and of its Go reference, and
// the ways to get one wrong (reference ledger.md A6 to A8).
// SPDX-License-Identifier: Apache-2.0
#include "ledger/note.h"

#include <gtest/gtest.h>

#include "ledger/checkpoint.h"
#include "protocol/base/limits.h"

namespace coshard::ledger {
namespace {

constexpr std::string_view kPeterVkey =
    "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
constexpr std::string_view kEnochVkey =
    "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
constexpr std::string_view kText =
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n";
constexpr std::string_view kPeterLine =
    "\xE2\x80\x94 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqf"
    "qdngotpRZb6KE6RyyBwJnAM=\n";
constexpr std::string_view kEnochLine =
    "\xE2\x80\x94 EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOT"
    "GwnWLox33WWd1RvMc+QQ=\n";

NoteKey key(std::string_view vkey) { return *NoteKey::parse_vkey(vkey); }
std::string note_of(std::string_view lines) {
  return std::string(kText) + "\n" + std::string(lines);
}

TEST(Note, VerifiesTheReferenceExample) {
  const NoteKey known[] = {key(kPeterVkey), key(kEnochVkey)};
  const auto note = open_note(note_of(std::string(kPeterLine) + std::string(kEnochLine)), known);
  ASSERT_TRUE(note.has_value()) << note.error().message;
  EXPECT_EQ(note->text, kText);
  EXPECT_EQ(note->verified.size(), 2u);
  EXPECT_EQ(note->unknown_signatures, 0u);
}

TEST(Note, SignsTheSameBytesAsTheReference) {
  // PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz
  const Bytes typed = *from_base64("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz");
  const auto peter = crypto::KeyPair::from_seed(ByteView(typed).subspan(1));
  EXPECT_EQ(*sign_note(kText, "PeterNeumann", *peter), note_of(kPeterLine));
  EXPECT_EQ((NoteKey{"PeterNeumann", peter->public_key()}.vkey()), kPeterVkey);
}

TEST(Note, VkeyIsReadStrictly) {
  const std::string vkey(kPeterVkey);
  for (std::size_t from = 0; from < vkey.size(); ++from) {
    for (std::size_t to = from; to <= vkey.size(); ++to) {
      const bool whole = from == 0 && to == vkey.size();
      EXPECT_EQ(NoteKey::parse_vkey(vkey.substr(from, to - from)).has_value(), whole);
    }
  }
  for (std::size_t i = 0; i < vkey.size(); ++i) {
    std::string changed = vkey;
    ++changed[i];
    EXPECT_FALSE(NoteKey::parse_vkey(changed).has_value()) << changed;
  }
  // Right id, wrong length; right id, unknown algorithm.
  EXPECT_FALSE(NoteKey::parse_vkey("PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/"
                                   "LDE4izWy10TWBADKEY==")
                   .has_value());
  EXPECT_FALSE(NoteKey::parse_vkey("PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/"
                                   "LDE4izWy10TW")
                   .has_value());
}

TEST(Note, UnknownSignaturesAreIgnoredButOneKnownIsNeeded) {
  const NoteKey peter[] = {key(kPeterVkey)};
  const auto both = open_note(note_of(std::string(kEnochLine) + std::string(kPeterLine)), peter);
  ASSERT_TRUE(both.has_value());
  EXPECT_EQ(both->unknown_signatures, 1u);
  EXPECT_EQ(open_note(note_of(kEnochLine), peter).error().code, ErrorCode::kPermissionDenied);
  EXPECT_FALSE(open_note(note_of(kPeterLine), {}).has_value());
}

TEST(Note, SignatureTwiceCountsOnce) {
  const NoteKey peter[] = {key(kPeterVkey)};
  const auto note = open_note(note_of(std::string(kPeterLine) + std::string(kPeterLine)), peter);
  ASSERT_TRUE(note.has_value());
  EXPECT_EQ(note->verified.size(), 1u);
}

// A7: one false signature by a known key spoils the note, whatever stands next to it.
TEST(Note, KnownKeyWithAFalseSignatureRefusesTheWholeNote) {
  const NoteKey known[] = {key(kPeterVkey), key(kEnochVkey)};
  std::string bad(kEnochLine);
  bad[30] = bad[30] == 'A' ? 'B' : 'A';
  const auto note = open_note(note_of(std::string(kPeterLine) + bad), known);
  ASSERT_FALSE(note.has_value());
  EXPECT_EQ(note.error().code, ErrorCode::kPermissionDenied);
}

// A6 and the malformed forms of the reference's own test.
TEST(Note, MalformedFormsAreRefused) {
  const NoteKey peter[] = {key(kPeterVkey)};
  const std::string good = note_of(kPeterLine);
  ASSERT_TRUE(open_note(good, peter).has_value());
  const std::string line(kPeterLine);
  std::string crlf = good;
  crlf.replace(crlf.find('\n'), 1, "\r\n");
  std::string nul = good;
  nul[3] = '\0';
  std::string latin1 = good;
  latin1[3] = '\xE9';
  std::string many = good;
  for (std::size_t i = 0; i < limits::kNoteSignaturesMax; ++i) many += kPeterLine;
  std::string plus = line;
  plus.replace(plus.find("PeterNeumann"), 12, "Peter+Neuman");
  std::string space = line;
  space.replace(space.find("PeterNeumann"), 12, "Peter\xC2\xA0Neuman");
  std::string base64 = line;
  base64[40] = '*';
  std::string hyphen = line;
  hyphen.replace(0, 3, "-");
  const std::string text(kText);
  const std::string forms[] = {
      crlf,
      nul,
      latin1,
      many,
      note_of(plus),
      note_of(space),
      note_of(base64),
      note_of(hyphen),
      good.substr(0, good.size() - 1),  // no final newline
      text,
      text + "\n",
      text + line,
      "\n" + line,
      "",  // no text, no blank line, no signature
      good + "\n",
      good + "x\n",
      note_of("\xE2\x80\x94 PeterNeumann\n"),
      note_of("\xE2\x80\x94 PeterNeumann AAAA\n"),  // an id and nothing else
      note_of("\xE2\x80\x94  x08go/Y=\n"),
      std::string(limits::kNoteBytesMax, 'a') + good};
  for (const std::string& form : forms) {
    const auto note = open_note(form, peter);
    ASSERT_FALSE(note.has_value()) << form;
  }
}

TEST(Note, EveryFlippedBitIsNoticed) {
  const NoteKey peter[] = {key(kPeterVkey)};
  const std::string good = note_of(kPeterLine);
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = good;
      changed[i] = static_cast<char>(changed[i] ^ (1 << bit));
      EXPECT_FALSE(open_note(changed, peter).has_value()) << i << " bit " << bit;
    }
  }
}

class CheckpointTest : public ::testing::Test {
 protected:
  crypto::KeyPair pair_ = crypto::KeyPair::generate();
  Checkpoint checkpoint_{"example.org/coshard/m/small", 42, Hash{}};
  NoteKey key_{checkpoint_.origin, pair_.public_key()};
};

TEST_F(CheckpointTest, RoundTrip) {
  EXPECT_EQ(checkpoint_.text(),
            "example.org/coshard/m/small\n42\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n");
  EXPECT_EQ(*open_checkpoint(*sign_checkpoint(checkpoint_, pair_), key_), checkpoint_);
}

TEST_F(CheckpointTest, TextIsReadStrictly) {
  const std::string root = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
  const std::vector<std::string> texts{"",
                                       "o\n",
                                       "o\n1\n",
                                       "o\n01\n" + root,
                                       "o\n+1\n" + root,
                                       "o\n-1\n" + root,
                                       "o\n1 \n" + root,
                                       "o\n\n" + root,
                                       "o\n18446744073709551616\n" + root,
                                       "\n1\n" + root,
                                       "o\n1\nAAAA\n",
                                       "o\n1\n" + root + "more\n",
                                       "o\n1\n" + root + "\n",
                                       " o\n1\n" + root,
                                       "o\n1\n" + root.substr(0, root.size() - 1)};
  for (const std::string& text : texts) {
    EXPECT_FALSE(Checkpoint::parse(text).has_value()) << text;
  }
  EXPECT_TRUE(Checkpoint::parse("o\n18446744073709551615\n" + root).has_value());
  EXPECT_TRUE(Checkpoint::parse("o\n0\n" + root).has_value());
}

// A8: a log's key signs for its own origin only.
TEST_F(CheckpointTest, AnotherOriginUnderTheRightKeyIsRefused) {
  Checkpoint other = checkpoint_;
  other.origin = "example.org/coshard/m/other";
  const std::string note = *sign_note(other.text(), key_.name, pair_);
  EXPECT_EQ(open_checkpoint(note, key_).error().code, ErrorCode::kPermissionDenied);
  EXPECT_FALSE(open_checkpoint(*sign_checkpoint(other, pair_), key_).has_value());
}

// A5: a key that is not the log's (any more).
TEST_F(CheckpointTest, AnotherKeyIsRefused) {
  const crypto::KeyPair retired = crypto::KeyPair::generate();
  EXPECT_FALSE(open_checkpoint(*sign_checkpoint(checkpoint_, retired), key_).has_value());
}

TEST(Origin, AllowsPlainNamesOnly) {
  EXPECT_EQ(*make_origin("example.org", "gcide-10m"), "example.org/coshard/m/gcide-10m");
  for (const char* model : {"", "Upper", "a b", "a+b", "../a", "a/b", ".hidden", "\xC3\xA9"}) {
    EXPECT_FALSE(make_origin("example.org", model).has_value()) << model;
  }
  EXPECT_FALSE(make_origin("https://x", "m").has_value());
  EXPECT_FALSE(make_origin("", "m").has_value());
}

}  // namespace
}  // namespace coshard::ledger
