// Stage checkpoints: what is written is read, foreign and torn files are refused, digests are the
// documented ones.
// SPDX-License-Identifier: Apache-2.0
#include "shard/checkpoint/stage_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "crypto/hash.h"
#include "shard/checkpoint/model_json.h"
#include "shard/checkpoint/stage_snapshot.h"
#include "shard/checkpoint/state_hash.h"
#include "tests/unit/data/full_disk.h"
#include "tests/unit/data/stage_fixture.h"

namespace coshard::shard {
namespace {

using ::testing::HasSubstr;

TEST(StageCheckpoint, ReadsWhatWasWritten) {
  const TempFolder folder;
  const StageCheckpointInfo info = stage_info(1, 3, 1);
  const StageCheckpointHashes hashes = write_stage(folder / "s", info);
  const StageCheckpoint stage = StageCheckpoint::open(folder / "s").value();
  EXPECT_EQ(stage.info(), info);
  EXPECT_EQ(stage.parameters(), parameters(info.model, info.slice));
  for (std::size_t i = 0; i < stage.parameters().size(); ++i) {
    for (const auto kind : {StateKind::kWeight, StateKind::kMomentM, StateKind::kMomentV}) {
      const std::vector<float> expected = state_values(stage.parameters()[i], kind);
      std::vector<float> found(expected.size());
      ASSERT_TRUE(stage.read(i, kind, 0, found));
      EXPECT_EQ(found, expected);
      std::vector<float> tail(3);
      ASSERT_TRUE(stage.read(i, kind, expected.size() - 3, tail));
      EXPECT_EQ(tail, std::vector<float>(expected.end() - 3, expected.end()));
    }
  }
  EXPECT_EQ(stage.file().hash().value(), hashes.file);
  EXPECT_EQ(hashes.file, crypto::sha256(as_bytes(read_text(folder / "s"))));
  EXPECT_EQ(stage.parameters_hash().value(), hashes.parameters);
}

/// What is written from a copy is, byte for byte, what is written from the state itself.
TEST(StageCheckpoint, ACopyOfTheStateMakesTheSameFile) {
  const TempFolder folder;
  const StageCheckpointInfo info = stage_info(0, 2, 0);
  StageSnapshot copy(info);
  const auto list = parameters(info.model, info.slice);
  for (std::size_t i = 0; i < list.size(); ++i)
    for (const auto kind : {StateKind::kWeight, StateKind::kMomentM, StateKind::kMomentV})
      std::ranges::copy(state_values(list[i], kind), copy.values(i, kind).begin());
  EXPECT_EQ(copy.bytes(), 12 * parameter_count(info.model, info.slice));
  const StageCheckpointHashes expected = write_stage(folder / "s", info);
  const auto written = copy.write(folder / "c");
  ASSERT_TRUE(written) << written.error().message;
  EXPECT_EQ(written->file, expected.file);
  EXPECT_EQ(written->parameters, expected.parameters);
}

TEST(StageCheckpoint, ForeignAndTornFilesAreRefused) {
  const TempFolder folder;
  write_stage(folder / "s", stage_info(0, 1, 0));
  const std::string good = read_text(folder / "s");
  const auto message = [&](const std::string& from, const std::string& to) {
    std::string bytes = good;
    const std::size_t at = bytes.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    EXPECT_EQ(from.size(), to.size());
    bytes.replace(at, from.size(), to);
    const auto opened = StageCheckpoint::open(folder.write("t", bytes));
    if (opened) return std::string("opened");
    EXPECT_EQ(opened.error().code, ErrorCode::kCorruption);
    return opened.error().message;
  };
  EXPECT_EQ(message("coshard", "coshard"), "opened");
  EXPECT_THAT(message("stage-checkpoint-1", "stage-checkpoint-2"), HasSubstr("expected format"));
  EXPECT_THAT(message("coshard.step", "coshard.stop"), HasSubstr("coshard.step"));
  EXPECT_THAT(message("\"coshard.step\":\"7\"", "\"coshard.step\":\"x\""), HasSubstr("found x"));
  EXPECT_THAT(message("\\\"layers\\\":3", "\\\"layers\\\":0"), HasSubstr("layers"));
  EXPECT_THAT(message("\\\"last_layer\\\":1", "\\\"last_layer\\\":2"), HasSubstr("no tensor"));
  EXPECT_THAT(message("\\\"last_layer\\\":1", "\\\"last_layer\\\":9"), HasSubstr("slice"));
  EXPECT_THAT(message("\\\"ffn_hidden\\\":24", "\\\"ffn_hidden\\\":25"), HasSubstr("shape"));
  EXPECT_FALSE(StageCheckpoint::open(folder.write("u", good.substr(0, good.size() - 4))));
  std::filesystem::create_symlink(folder / "s", folder / "link");
  EXPECT_FALSE(StageCheckpoint::open(folder / "link"));
}

TEST(StageCheckpoint, AFullDiskKeepsTheOldCheckpoint) {
  const TempFolder folder;
  const StageCheckpointInfo old = stage_info(0, 1, 0, 7);
  write_stage(folder / "s", old);
  const StageCheckpointInfo next = stage_info(0, 1, 0, 8);
  {
    const FullDisk full(20'000);
    const auto list = parameters(next.model, next.slice);
    const auto written = write_stage_checkpoint(
        folder / "s", next, [&](std::size_t i, StateKind kind, const FloatSink& sink) {
          return sink(state_values(list[i], kind));
        });
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().code, ErrorCode::kResourceExhausted);
    EXPECT_THAT(written.error().message, HasSubstr((folder / "s").string()));
  }
  EXPECT_EQ(StageCheckpoint::open(folder / "s").value().info(), old);
  EXPECT_EQ(folder.files(), 1U);
}

TEST(StageCheckpoint, AnErrorOfTheReaderIsHandedOn) {
  const TempFolder folder;
  const auto written = write_stage_checkpoint(
      folder / "s", stage_info(0, 1, 0), [](std::size_t, StateKind, const FloatSink&) {
        return Result<void>(fail(ErrorCode::kUnavailable, "device lost"));
      });
  EXPECT_EQ(written.error().message, "device lost");
  EXPECT_EQ(folder.files(), 0U);
}

TEST(StateHash, IsTheDocumentedConstruction) {
  Bytes bytes(kStateChunkBytes * 2 + 5);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * 31);
  Bytes chunk_hashes;
  for (std::size_t at = 0; at < bytes.size(); at += kStateChunkBytes) {
    const auto chunk = ByteView(bytes).subspan(at, std::min(kStateChunkBytes, bytes.size() - at));
    append(chunk_hashes, crypto::sha256(chunk));
  }
  TensorHasher hasher;
  for (std::size_t at = 0; at < bytes.size(); at += 777'777)
    hasher.update(ByteView(bytes).subspan(at, std::min<std::size_t>(777'777, bytes.size() - at)));
  const Hash tensor = hasher.finish();
  EXPECT_EQ(tensor, crypto::sha256(chunk_hashes));
  hasher.update(as_bytes("b"));
  const Hash small = hasher.finish();
  EXPECT_EQ(small, crypto::sha256(crypto::sha256(as_bytes("b"))));
  Bytes all;
  for (const auto& [name, hash] : {std::pair<std::string, Hash>{"a", small}, {"bc", tensor}}) {
    put_le(all, static_cast<std::uint32_t>(name.size()));
    append(all, as_bytes(name));
    append(all, hash);
  }
  EXPECT_EQ(state_hash({{"bc", tensor}, {"a", small}}), crypto::sha256(all));
}

TEST(ModelJson, ReadsWhatItWrites) {
  const ModelSpec model = small_model();
  EXPECT_EQ(parse_model_json(model_json(model)).value(), model);
  EXPECT_FALSE(parse_model_json("{\"hidden\":1}"));
  EXPECT_FALSE(parse_model_json("{"));
}

}  // namespace
}  // namespace coshard::shard
