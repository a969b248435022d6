// A folder of checkpoints: what a node says that it holds, and what is deleted when a newer one is
// there: only what nobody can go back to, or go on with.
// SPDX-License-Identifier: Apache-2.0
#include "node/daemon/checkpoint_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <utility>

#include "crypto/hash.h"
#include "node/checkpoint_path.h"
#include "protocol/base/limits.h"
#include "tests/support/process.h"

namespace coshard::node {
namespace {

using ::testing::ElementsAre;

class CheckpointFolder : public ::testing::Test {
 protected:
  void put(std::uint64_t step, const std::string& name, const std::string& bytes = "state") {
    const auto folder = checkpoint_path(dir_.path(), StepId(step), StageIndex(0)).parent_path();
    std::filesystem::create_directories(folder);
    test::write_text(folder / name, bytes);
  }
  /// "20/stage-0.safetensors" and the like, ascending; a folder that is empty as "20/".
  std::vector<std::string> found() const {
    std::vector<std::string> names;
    for (const auto& folder : std::filesystem::directory_iterator(dir_.path())) {
      const std::string step =
          std::to_string(std::stoul(folder.path().filename().string().substr(5)));
      if (std::filesystem::is_empty(folder)) names.push_back(step + "/");
      for (const auto& file : std::filesystem::directory_iterator(folder))
        names.push_back(step + "/" + file.path().filename().string());
    }
    std::ranges::sort(names);
    return names;
  }

  test::TempDir dir_;
};

TEST_F(CheckpointFolder, TheNewestOfAFileStayAndFoldersThatAreEmptyGo) {
  for (const std::uint64_t step : {10U, 20U, 30U, 40U, 50U}) put(step, "stage-0.safetensors");
  put(10, "stage-1.safetensors");
  put(20, "stage-0.sealed");
  drop_old(dir_.path(), StepId(40), "stage-0.safetensors", 2);
  EXPECT_THAT(found(),
              ElementsAre("10/stage-1.safetensors", "20/stage-0.sealed", "30/stage-0.safetensors",
                          "40/stage-0.safetensors", "50/stage-0.safetensors"))
      << "50 is of a future that was rolled back; the rest is other files'";
  drop_old(dir_.path(), StepId(40), "stage-0.sealed", 0);
  drop_old(dir_.path(), StepId(40), "stage-1.safetensors", 0);
  EXPECT_THAT(found(), ElementsAre("30/stage-0.safetensors", "40/stage-0.safetensors",
                                   "50/stage-0.safetensors"));
}

TEST_F(CheckpointFolder, CopiesThatWereBrokenOffGoWithTheStepsThatNobodyGoesBackTo) {
  put(10, "stage-0.safetensors.6fd1.part");
  put(15, "stage-0.safetensors");
  put(15, "stage-0.safetensors.part");
  put(15, "stage-01.safetensors.6fd1.part");
  put(20, "stage-0.safetensors.6fd1.part");
  put(30, "stage-0.safetensors");
  put(40, "stage-0.safetensors");
  drop_old(dir_.path(), StepId(40), "stage-0.safetensors", 2);
  EXPECT_THAT(found(), ElementsAre("15/stage-01.safetensors.6fd1.part", "30/stage-0.safetensors",
                                   "40/stage-0.safetensors"));
  put(20, "stage-0.safetensors.6fd1.part");
  drop_old(dir_.path(), StepId(40), "stage-0.safetensors", 3);
  EXPECT_THAT(found(),
              ElementsAre("15/stage-01.safetensors.6fd1.part", "20/stage-0.safetensors.6fd1.part",
                          "30/stage-0.safetensors", "40/stage-0.safetensors"))
      << "there are two only: the state of step 20 may still be wanted";
}

TEST_F(CheckpointFolder, WhatIsHeldIsSaidNewestFirstWithItsHash) {
  EXPECT_TRUE(held_checkpoints(dir_ / "none").empty());
  static_assert(limits::kCheckpointsHeld == 3);
  for (const std::uint64_t step : {5U, 10U, 100U, 20U})
    put(step, "stage-1.safetensors", "state after " + std::to_string(step));
  put(20, "stage-0.safetensors", "another");
  put(30, "stage-0.safetensors.part");
  put(10, "stage-x.safetensors");
  std::map<std::pair<std::uint64_t, std::uint32_t>, Hash> held;
  std::vector<std::uint64_t> steps;
  for (const HeldCheckpoint& one : held_checkpoints(dir_.path())) {
    held[{one.step.value, one.stage.value}] = one.file_hash;
    steps.push_back(one.step.value);
  }
  EXPECT_TRUE(std::ranges::is_sorted(steps, std::greater<>()));
  const auto hash = [](const std::string& text) { return crypto::sha256(as_bytes(text)); };
  EXPECT_EQ(held, (decltype(held){{{100, 1}, hash("state after 100")},
                                  {{20, 1}, hash("state after 20")},
                                  {{20, 0}, hash("another")},
                                  {{10, 1}, hash("state after 10")}}))
      << "three steps; one of which there is but a broken copy is none";
}

}  // namespace
}  // namespace coshard::node
