// Stages that are put together and cut anew are, byte for byte, the files that nodes with that cut
// would have written; what is no whole model is named, and nothing that is there is touched.
// SPDX-License-Identifier: Apache-2.0
#include "shard/checkpoint/whole_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "shard/plan/partition.h"
#include "tests/unit/data/full_disk.h"
#include "tests/unit/data/stage_fixture.h"

namespace coshard::shard {
namespace {

using ::testing::HasSubstr;
using Files = std::vector<std::filesystem::path>;
using Cut = std::vector<std::int64_t>;  ///< layers of each stage

/// Every way to cut the small model's three layers.
const std::vector<Cut> kCuts{{3}, {1, 2}, {2, 1}, {1, 1, 1}};

/// As nodes write them, from values that are known: the reference that a cut is held against.
Files write_by(const TempFolder& folder, const std::string& prefix, const Cut& cut) {
  Files files;
  std::int64_t first = 0;
  for (std::uint32_t s = 0; s < cut.size(); ++s) {
    files.push_back(folder / (prefix + std::to_string(s)));
    write_stage(files.back(), stage_info(first, first + cut[s], s));
    first += cut[s];
  }
  return files;
}

std::string text_of(const Cut& cut) {
  return std::accumulate(cut.begin(), cut.end(), std::string(),
                         [](const std::string& text, auto n) { return text + std::to_string(n); });
}

TEST(WholeCheckpoint, AnyCutBecomesAnyOther) {
  for (const Cut& from : kCuts) {
    const TempFolder folder;
    Files files = write_by(folder, "old-", from);
    std::ranges::reverse(files);  // in any order
    const auto whole = WholeCheckpoint::open(files);
    ASSERT_TRUE(whole) << whole.error().message;
    EXPECT_EQ(whole->model(), small_model());
    EXPECT_EQ(whole->step(), StepId(7));
    for (const Cut& to : kCuts) {
      SCOPED_TRACE(text_of(from) + " to " + text_of(to));
      const Files expected = write_by(folder, "expected-" + text_of(to) + "-", to);
      const auto slices = partition(small_model(), to).value();
      for (std::uint32_t s = 0; s < slices.size(); ++s) {
        const auto file = folder / ("new-" + text_of(to) + std::to_string(s));
        const auto cut = whole->cut(slices[s], StageIndex(s), file);
        ASSERT_TRUE(cut) << cut.error().message;
        EXPECT_EQ(read_text(file), read_text(expected[s])) << "stage " << s;
        EXPECT_EQ(cut->hashes.file, SafetensorsFile::open(file).value().hash().value());
        EXPECT_EQ(cut->hashes.parameters,
                  StageCheckpoint::open(expected[s]).value().parameters_hash().value());
        EXPECT_EQ(cut->bytes, read_text(expected[s]).size());
      }
    }
  }
}

TEST(WholeCheckpoint, WhatIsNoWholeModelIsNamed) {
  const TempFolder folder;
  const Files files = write_by(folder, "s", {1, 1, 1});
  const auto message = [](const Files& stages) {
    const auto whole = WholeCheckpoint::open(stages);
    return whole ? std::string("opened") : whole.error().message;
  };
  EXPECT_EQ(message(files), "opened");
  EXPECT_THAT(message({}), HasSubstr("expected the checkpoints of all stages, found none"));
  EXPECT_THAT(message({files[0], files[2]}), HasSubstr("begins at layer 1, found layers 2 to 3"));
  EXPECT_THAT(message({files[0], files[1]}), HasSubstr("end at layer 2 of 3"));
  EXPECT_THAT(message({files[0], files[0], files[1]}), HasSubstr("begins at layer 1"));
  EXPECT_THAT(message({files[0], files[1], folder / "none"}), HasSubstr("none"));
  write_stage(files[1], stage_info(1, 2, 1, 8));
  EXPECT_THAT(message(files), HasSubstr(files[1].string() + ": expected step 7"));
  StageCheckpointInfo other = stage_info(1, 2, 1);
  other.model.rope_theta = 1;
  write_stage(files[1], other);
  EXPECT_THAT(message(files), HasSubstr(files[1].string() + " is of another model"));
  std::filesystem::resize_file(files[1], std::filesystem::file_size(files[1]) - 4);
  EXPECT_THAT(message(files), HasSubstr(files[1].string()));
}

TEST(WholeCheckpoint, AFullDiskLeavesNoFileAndTheOldOnesAlone) {
  const TempFolder folder;
  const Files files = write_by(folder, "s", {1, 2});
  const std::string before = read_text(files[0]) + read_text(files[1]);
  const auto whole = WholeCheckpoint::open(files).value();
  {
    const FullDisk full(20'000);
    const auto cut = whole.cut(whole_model(small_model()), StageIndex(0), folder / "new");
    ASSERT_FALSE(cut);
    EXPECT_EQ(cut.error().code, ErrorCode::kResourceExhausted);
    EXPECT_THAT(cut.error().message, HasSubstr((folder / "new").string()));
  }
  EXPECT_EQ(folder.files(), 2U);
  EXPECT_EQ(read_text(files[0]) + read_text(files[1]), before);
}

}  // namespace
}  // namespace coshard::shard
