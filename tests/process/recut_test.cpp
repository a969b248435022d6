// A round of another shape goes on from a checkpoint: real programs, from coshard round export
// --format shards to the last step. Its losses are those of the round that was never interrupted,
// and its ledger verifies.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <algorithm>
#include <csignal>
#include <nlohmann/json.hpp>
#include <ostream>

#include "tests/process/program.h"
#include "tests/support/round_fixture.h"
#include "tests/support/round_reference.h"

namespace coshard::test {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr std::uint64_t kHalf = 6;
constexpr auto kPatience = seconds(120);

TinyRound first_shape() {
  return {.stages = 2, .replicas = 2, .steps = 2 * kHalf, .epoch_steps = kHalf, .layers = 4};
}

/// Gives node `index` the shard of `stage`, and no other.
void give_shard(const RoundFixture& round, std::size_t index, const Path& checkpoints,
                std::uint64_t step, std::uint32_t stage) {
  std::array<char, 32> folder{};
  std::snprintf(folder.data(), folder.size(), "step-%08d", static_cast<int>(step));
  const Path file = Path(folder.data()) / ("stage-" + std::to_string(stage) + ".safetensors");
  const Path own = round.node_dir(index) / "checkpoints" / file;
  std::filesystem::create_directories(own.parent_path());
  std::filesystem::copy_file(checkpoints / file, own);
}

void expect_losses(const std::vector<MetricsLine>& found, const std::vector<MetricsLine>& all,
                   std::uint64_t after) {
  ASSERT_EQ(found.size(), all.size() - after);
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].step, all[after + i].step);
    EXPECT_NEAR(found[i].loss, all[after + i].loss, 1e-5 * all[after + i].loss)
        << "step " << found[i].step;
  }
}

/// The first round runs once, undisturbed, for twice as many steps as the others go on from.
class Recut : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    first_ = std::make_unique<RoundFixture>(first_shape());
    ASSERT_TRUE(first_->start_all());
    ASSERT_EQ(first_->coordinator().wait_exit(kPatience), 0) << first_->outputs();
    ASSERT_EQ(first_->metrics().size(), 2 * kHalf) << first_->outputs();
  }
  static void TearDownTestSuite() { first_.reset(); }

  /// Asks for the checkpoint of step kHalf, for a round of `shape` whose file is in its folder.
  static Ran cut_for(const RoundFixture& next, const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments{"round",
                                       "export",
                                       first_->coordinator_dir().string(),
                                       "--round",
                                       (first_->path() / "round.toml").string(),
                                       "--for",
                                       (next.path() / "round.toml").string(),
                                       "--out",
                                       (next.path() / "cut").string(),
                                       "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    for (const auto& [flag, value] :
         {std::pair{"--format", std::string("shards")}, std::pair{"--step", std::to_string(kHalf)}})
      if (std::ranges::find(more, flag) == more.end())
        arguments.insert(arguments.end(), {flag, value});
    return run_program("coshard", arguments, next.path(), seconds(60));
  }
  static std::vector<std::string> held() {
    std::vector<std::string> folders{"--checkpoints"};
    for (const Path& folder : first_->checkpoint_folders()) folders.push_back(folder.string());
    return folders;
  }

  static inline std::unique_ptr<RoundFixture> first_;
};

struct Shape {
  const char* name;
  std::uint32_t stages;
  std::uint32_t replicas;
  const char* cut = "";
  std::uint32_t empty_handed = 0;  ///< so many of the nodes copy their shard from others
};
void PrintTo(const Shape& shape, std::ostream* out) { *out << shape.name; }

class RecutShape : public Recut, public ::testing::WithParamInterface<Shape> {};

TEST_P(RecutShape, GoesOnAsIfNothingHadBeen) {
  const Shape& shape = GetParam();
  RoundFixture next({.stages = shape.stages,
                     .replicas = shape.replicas,
                     .steps = 2 * kHalf,
                     .epoch_steps = 3,
                     .layers = 4,
                     .cut = shape.cut,
                     .name = "mite-2"});
  const Ran cut = cut_for(next, held());
  ASSERT_EQ(cut.status, 0) << cut.output;
  const auto made = nlohmann::json::parse(cut.output);
  EXPECT_EQ(made["step"], kHalf);
  EXPECT_EQ(made["differs"], "");
  next.use_round_file(Path(made["round"].get<std::string>()));
  const Path checkpoints = made["checkpoints"].get<std::string>();
  for (std::size_t i = 0; i + shape.empty_handed < next.seats(); ++i)
    give_shard(next, i, checkpoints, kHalf, static_cast<std::uint32_t>(i) % shape.stages);
  ASSERT_TRUE(next.start_all());
  ASSERT_EQ(next.coordinator().wait_exit(kPatience), 0) << next.outputs();
  expect_losses(next.metrics(), first_->metrics(), kHalf);
  const ledger::Accounts accounts = expect_verified(next).accounts;
  EXPECT_EQ(accounts.genesis().steps_before, kHalf);
  std::uint64_t units = 0;
  for (const ledger::EpochState& epoch : accounts.epochs())
    for (const ledger::NodeTotal& total : epoch.close.totals) units += total.units;
  EXPECT_EQ(units, kHalf * 4 * shape.stages) << "the first round's work is not counted again";
  if (shape.stages > 1) {
    EXPECT_EQ(accounts.totals().posted, accounts.totals().cap);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, RecutShape,
                         ::testing::Values(Shape{"MoreStages", 3, 1, "[1, 2, 1]"},
                                           Shape{"OneStage", 1, 1},
                                           Shape{"OtherCut", 2, 2, "[3, 1]"},
                                           Shape{"FewerReplicas", 2, 1}, Shape{"SameShape", 2, 2},
                                           Shape{"NewcomersCopyTheirShards", 2, 2, "[1, 3]", 2}),
                         [](const auto& shape) { return std::string(shape.param.name); });

TEST(RecutStopped, ARoundThatWasStoppedGoesOnFromWhereItStood) {
  RoundFixture first({.stages = 2, .steps = 200, .epoch_steps = 20, .layers = 4});
  ASSERT_TRUE(first.start_all());
  ASSERT_TRUE(first.wait_for_step(5, kPatience)) << first.outputs();
  first.coordinator().signal(SIGTERM);
  ASSERT_EQ(first.coordinator().wait_exit(kPatience), 3) << first.outputs();
  RoundFixture next({.stages = 3, .steps = 200, .epoch_steps = 20, .layers = 4, .name = "mite-2"});
  std::vector<std::string> arguments{"round",
                                     "export",
                                     first.coordinator_dir().string(),
                                     "--round",
                                     (first.path() / "round.toml").string(),
                                     "--format",
                                     "shards",
                                     "--for",
                                     (next.path() / "round.toml").string(),
                                     "--out",
                                     (next.path() / "cut").string(),
                                     "--json",
                                     "--checkpoints"};
  for (const Path& folder : first.checkpoint_folders()) arguments.push_back(folder.string());
  const Ran cut = run_program("coshard", arguments, next.path(), seconds(60));
  ASSERT_EQ(cut.status, 0) << cut.output;
  const std::uint64_t step = nlohmann::json::parse(cut.output)["step"];
  EXPECT_EQ(step, first.metrics().back().step) << "what was done was saved";
  next.use_round_file(next.path() / "cut/round.toml");
  for (std::uint32_t i = 0; i < 3; ++i)
    give_shard(next, i, next.path() / "cut/checkpoints", step, i);
  ASSERT_TRUE(next.start_all());
  ASSERT_EQ(next.coordinator().wait_exit(kPatience), 0) << next.outputs();
  expect_losses(next.metrics(), reference_run(first.round(), first.manifest()).lines, step);
}

TEST_F(Recut, WhatDoesNotFitIsRefusedInOneLineAndLeavesNothing) {
  const auto refused = [&](const TinyRound& shape, const std::vector<std::string>& more, int status,
                           const std::string& why) {
    const RoundFixture next(shape);
    const Ran cut = cut_for(next, more);
    EXPECT_EQ(cut.status, status) << cut.output;
    EXPECT_THAT(cut.output, HasSubstr(why));
    EXPECT_FALSE(std::filesystem::exists(next.path() / "cut/round.toml"));
  };
  TinyRound good = first_shape();
  good.name = "mite-2";
  TinyRound bad = good;
  bad.name = "mite";
  refused(bad, held(), 2, "model.name: expected another than mite");
  bad = good;
  bad.layers = 5;
  refused(bad, held(), 2, "the new round's [model]: expected that of mite");
  bad = good;
  bad.steps = kHalf;
  refused(bad, held(), 2, "training.steps: expected more than 6");
  refused(good, {"--step", "5"}, 2, "expected a complete checkpoint of step 5 in the ledger");
  refused(good, {"--format", "hf"}, 2, "expected --for FILE with --format shards");
  refused(good, {"--checkpoints", first_->coordinator_dir().string()}, 1,
          "the checkpoint of stage 0 after step 6 is not on this machine");

  const RoundFixture next(good);
  const Path damaged = next.path() / "damaged";
  for (const Path& folder : first_->checkpoint_folders())
    std::filesystem::copy(
        folder, damaged,
        std::filesystem::copy_options::recursive | std::filesystem::copy_options::skip_existing);
  const Path file = damaged / "step-00000006/stage-1.safetensors";
  std::string bytes = read_text(file);
  bytes[bytes.size() / 2] ^= 1;
  write_text(file, bytes);
  refused(good, {"--checkpoints", damaged.string()}, 1,
          file.string() + ": expected the file that the ledger recorded");
}

TEST_F(Recut, ACoordinatorAndItsNodesSayWhatTheBeginningNeeds) {
  RoundFixture next({.stages = 1, .steps = 2 * kHalf, .layers = 4, .name = "mite-2"});
  const Ran cut = cut_for(next, held());
  ASSERT_EQ(cut.status, 0) << cut.output;
  next.use_round_file(next.path() / "cut/round.toml");
  ASSERT_TRUE(next.start_coordinator());
  next.start_node(0);
  ASSERT_TRUE(wait_for_text(next.coordinator().output_file(),
                            "asks to join and waits: the round "
                            "goes on from the checkpoint of "
                            "step 6",
                            kPatience))
      << next.outputs();
}

}  // namespace
}  // namespace coshard::test
