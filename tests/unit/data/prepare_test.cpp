// Text to shards: the tokens are the text, whatever the compression and the cut; the same bytes
// each time; errors leave
// no manifest.
// SPDX-License-Identifier: Apache-2.0
#include "shard/data/prepare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include "protocol/base/limits.h"
#include "shard/data/file.h"
#include "shard/data/text_reader.h"
#include "shard/data/token_source.h"
#include "shard/data/tokenizer.h"
#include "tests/unit/data/sentencepiece_model.h"
#include "tests/unit/data/temp_folder.h"

namespace coshard::shard {
namespace {

using ::testing::HasSubstr;

std::filesystem::path write_gzip(const TempFolder& folder, const std::string& name,
                                 const std::string& text) {
  const auto path = folder / name;
  gzFile file = ::gzopen(path.c_str(), "wb");
  EXPECT_EQ(::gzwrite(file, text.data(), static_cast<unsigned>(text.size())),
            static_cast<int>(text.size()));
  ::gzclose(file);
  return path;
}

/// Lines of varying length, more than one piece of text, not all of it UTF-8.
std::string long_text() {
  std::string text;
  for (std::uint32_t i = 0; text.size() < 3 * limits::kTextPieceBytesMax / 2; ++i)
    text += std::to_string(i * 2654435761U) + (i % 7 == 0 ? "\n" : " \xc3\xa9\xff ");
  return text;
}

/// All shards of the report read back as bytes.
std::string tokens_as_text(const PrepareReport& report) {
  std::string text;
  for (const ShardEntry& shard : report.manifest.shards) {
    const std::string bytes = read_text(report.manifest_path.parent_path() / shard.path);
    EXPECT_EQ(bytes.size(), shard.tokens * 2);
    for (std::size_t i = 0; i < bytes.size(); i += 2) {
      text += bytes[i];
      EXPECT_EQ(bytes[i + 1], 0);
    }
  }
  return text;
}

TEST(Prepare, BytesInAreTokensOut) {
  const TempFolder folder;
  const std::string text = long_text();
  const auto plain = folder.write("a.txt", text);
  const auto zipped = write_gzip(folder, "b.txt.gz", text + "end");
  PrepareProgress last;
  int calls = 0;
  const auto report =
      prepare({.out = folder / "out", .inputs = {plain, zipped}, .shard_tokens = 1'000'000},
              [&](const PrepareProgress& progress) {
                EXPECT_GE(progress.bytes_read, last.bytes_read);
                last = progress;
                ++calls;
              })
          .value();
  EXPECT_EQ(tokens_as_text(report), text + text + "end");
  EXPECT_EQ(report.text_bytes, 2 * text.size() + 3);
  EXPECT_EQ(report.manifest.shards.size(), (2 * text.size() + 3 + 999'999) / 1'000'000);
  EXPECT_EQ(last.tokens, report.text_bytes);
  EXPECT_EQ(last.bytes_read, last.bytes_total);
  EXPECT_GT(calls, 4);
  const TokenOrder order{
      .seed = 1, .sequence = 128, .microbatches = 1, .microbatch_sequences = 1, .vocab = 256};
  EXPECT_TRUE(TokenSource::open(report.manifest_path, order));
}

TEST(Prepare, TheSameInputsGiveTheSameBytes) {
  const TempFolder folder;
  const auto input = folder.write("a.txt", long_text());
  for (const char* out : {"one", "two"})
    ASSERT_TRUE(prepare({.out = folder / out, .inputs = {input}, .shard_tokens = 500'000}, {}));
  for (const auto& entry : std::filesystem::directory_iterator(folder / "one"))
    EXPECT_EQ(read_text(entry.path()), read_text(folder / "two" / entry.path().filename()))
        << entry.path();
}

TEST(Prepare, SentencePieceShardsEndEachDocument) {
  const TempFolder folder;
  const auto model = train_sentencepiece(folder);
  const auto a = folder.write("a.txt", "the quick brown fox\n");
  const auto b = folder.write("b.txt", "lazy dog");
  const auto report =
      prepare({.tokenizer = model.string(), .out = folder / "out", .inputs = {a, b}}, {}).value();
  EXPECT_EQ(report.manifest.vocab, kTrainedVocab);
  EXPECT_EQ(report.manifest.tokenizer.id, "sentencepiece");
  EXPECT_EQ(read_text(folder / "out/tokenizer.model"), read_text(model));
  std::vector<std::uint32_t> expected;
  const auto tokenizer = load_sentencepiece(model).value();
  for (const char* text : {"the quick brown fox\n", "lazy dog"}) {
    ASSERT_TRUE(tokenizer->encode(text, expected));
    expected.push_back(2);
  }
  const std::string bytes = read_text(folder / "out/shard-00000.bin");
  std::vector<std::uint32_t> found;
  for (std::size_t i = 0; i < bytes.size(); i += 2)
    found.push_back(get_le<std::uint16_t>(as_bytes(bytes).subspan(i)));
  EXPECT_EQ(found, expected);
}

TEST(Prepare, BadInputLeavesNoManifest) {
  const TempFolder folder;
  const auto message = [&](std::vector<std::filesystem::path> inputs) {
    const auto report = prepare({.out = folder / "out", .inputs = std::move(inputs)}, {});
    EXPECT_FALSE(std::filesystem::exists(folder / "out/manifest.json"));
    return report ? std::string("prepared") : report.error().message;
  };
  const auto empty = folder.write("empty.txt", "");
  const auto good = folder.write("good.txt", "text");
  EXPECT_THAT(message({}), HasSubstr("at least one input"));
  EXPECT_THAT(message({empty}), HasSubstr("empty.txt"));
  EXPECT_THAT(message({good, folder / "missing.txt"}), HasSubstr("missing.txt"));
  EXPECT_THAT(message({folder.path()}), HasSubstr("regular file"));
  std::string zipped = read_text(write_gzip(folder, "c.gz", long_text()));
  const auto cut = folder.write("cut.gz", zipped.substr(0, zipped.size() / 2));
  EXPECT_THAT(message({cut}), HasSubstr("cut.gz"));
  zipped[zipped.size() / 2] = static_cast<char>(zipped[zipped.size() / 2] ^ 0x55);
  EXPECT_THAT(message({folder.write("bad.gz", zipped)}), HasSubstr("bad.gz"));
}

TEST(TextReader, CutsAtLinesAndNeverInsideACharacter) {
  const TempFolder folder;
  // One endless line of three-byte characters, so that the limit falls inside one.
  std::string text;
  while (text.size() < 2 * limits::kTextPieceBytesMax) text += "\xe2\x82\xac";
  const auto path = folder.write("euro.txt", "x\n" + text);
  TextReader reader = TextReader::open(path).value();
  EXPECT_EQ(reader.next().value(), "x\n");
  std::string joined;
  while (true) {
    const std::string piece = reader.next().value();
    if (piece.empty()) break;
    EXPECT_EQ(piece.size() % 3, 0U);
    joined += piece;
  }
  EXPECT_EQ(joined, text);
}

TEST(Prepare, TheDictionaryOfTheDemo) {
  const std::filesystem::path gcide = "/usr/share/dictd/gcide.dict.dz";
  if (!std::filesystem::exists(gcide)) GTEST_SKIP() << "package dict-gcide is not installed";
  const TempFolder folder;
  const auto report = prepare({.out = folder / "out", .inputs = {gcide}}, {}).value();
  EXPECT_GT(report.text_bytes, 30'000'000U);
  EXPECT_EQ(report.manifest.tokens(), report.text_bytes);
}

}  // namespace
}  // namespace coshard::shard
