// What a person sees of a round: the block, the lines, the curve; and how its status is read.
// SPDX-License-Identifier: Apache-2.0
#include "node/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "node/loss_curve.h"
#include "tests/support/process.h"

namespace coshard::node {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr std::string_view kStatus = R"json({
  "model": "gcide", "state": "running", "step": 7, "steps": 200, "loss": 3.25,
  "tokens_per_second": 12345.6, "boundary_bytes_per_token": 1044.5, "seconds_left": 95,
  "nodes": [
    {"node": "aabbccddeeff0011", "account": "01", "stage": 0, "replica": 0, "state": "live",
     "activity": "computing", "applied_step": 6, "tokens_per_second": 6000, "outstanding": 2},
    {"node": "bbbbccddeeff0011", "stage": 1, "replica": 0, "state": "suspect", "activity": "idle",
     "applied_step": 6, "silent_ms": 2500}],
  "missing": [{"stage": 1, "replicas": 1}],
  "ledger": {"origin": "coshard.local/coshard/m/gcide", "size": 12, "root": "ab"},
  "checkpoint": {"step": 5}, "ended": null,
  "waiting_for": {"what": "the averages of stage 1", "seconds": 0.21}})json";

RoundStatus status() { return *parse_round_status(kStatus); }

TEST(RoundStatus, ReadsWhatTheCoordinatorSays) {
  const RoundStatus read = status();
  EXPECT_EQ(read.model, "gcide");
  EXPECT_EQ(read.step, 7U);
  EXPECT_EQ(*read.loss, 3.25);
  ASSERT_EQ(read.nodes.size(), 2U);
  EXPECT_EQ(read.nodes[1].state, "suspect");
  EXPECT_EQ(*read.nodes[1].silent_ms, 2500U);
  EXPECT_EQ(read.ledger_size, 12U);
  EXPECT_EQ(read.checkpoint_step, 5U);
  EXPECT_EQ(read.waiting_for, "the averages of stage 1 (0.2 s)");
  EXPECT_FALSE(read.ended);
  EXPECT_FALSE(read.has_ended());
}

TEST(RoundStatus, RefusesWhatIsNoStatus) {
  EXPECT_THAT(parse_round_status("<html>").error().message, HasSubstr("expected a JSON object"));
  EXPECT_THAT(parse_round_status("[]").error().message, HasSubstr("expected a JSON object"));
  EXPECT_THAT(parse_round_status(R"({"model": "x", "state": "running"})").error().message,
              HasSubstr("expected the member \"step\""));
}

TEST(Progress, BlockShowsEverythingThatTheDesignAsksFor) {
  const auto lines = render_block(status(), {true, false, 100});
  EXPECT_THAT(lines, Contains(HasSubstr("step 7/200")));
  EXPECT_THAT(lines, Contains(HasSubstr("loss 3.2500   12346 tokens/s   1044 B/token on the wire"
                                        "   1 min 35 s left")));
  EXPECT_THAT(lines, Contains(HasSubstr("stage 0 replica 0  aabbccdd  live")));
  EXPECT_THAT(lines, Contains(HasSubstr("suspect")));
  EXPECT_THAT(lines, Contains(HasSubstr("silent for 2.5 s")));
  EXPECT_THAT(lines, Contains("waiting for nodes: 1 more for stage 1"));
}

TEST(Progress, NoLineIsWiderThanTheTerminal) {
  for (const bool unicode : {false, true}) {
    for (const std::string& line : render_block(status(), {true, unicode, 24})) {
      std::size_t characters = 0;
      for (const char c : line) characters += (c & 0xC0) == 0x80 ? 0 : 1;
      EXPECT_LE(characters, 24U) << line;
    }
  }
}

TEST(Progress, PlainOutputHasALinePerChangeOfStateAndNotPerStep) {
  const test::TempDir dir;
  const auto file = dir / "out";
  std::FILE* out = std::fopen(file.c_str(), "w");
  ASSERT_NE(out, nullptr);
  ProgressPrinter printer(out, Terminal{});
  RoundStatus now = status();
  const steady_clock::time_point start{};
  printer.show(now, start);
  now.step = 8;
  printer.show(now, start + seconds(1));  // too soon for a line
  now.step = 9;
  printer.show(now, start + seconds(6));
  now.nodes[1].state = "lost";
  printer.show(now, start + seconds(7));  // at once
  std::fclose(out);
  const std::string text = test::read_text(file);
  EXPECT_EQ(std::ranges::count(text, '\n'), 3);
  EXPECT_THAT(text, StartsWith("step 7/200  running  loss 3.2500"));
  EXPECT_THAT(text, Not(HasSubstr("step 8/200")));
  EXPECT_THAT(text, HasSubstr("stage 1 replica 0 is lost"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
}

TEST(Progress, ATerminalIsRedrawnInPlace) {
  const test::TempDir dir;
  const auto file = dir / "out";
  std::FILE* out = std::fopen(file.c_str(), "w");
  ASSERT_NE(out, nullptr);
  ProgressPrinter printer(out, Terminal{true, true, 80});
  printer.show(status(), {});
  printer.show(status(), {});
  std::fclose(out);
  const auto lines = render_block(status(), {true, true, 80}).size();
  EXPECT_THAT(test::read_text(file), HasSubstr("\x1b[" + std::to_string(lines) + "A"));
}

TEST(Progress, SecondsAreForPeople) {
  EXPECT_EQ(render_seconds(45.4), "45 s");
  EXPECT_EQ(render_seconds(200), "3 min 20 s");
  EXPECT_EQ(render_seconds(7500), "2 h 5 min");
}

TEST(LossCurve, AsciiPlotPutsHighLossOnTopAndNamesTheAxes) {
  const std::vector<LossPoint> points{{1, 4.0}, {2, 3.0}, {3, 2.0}};
  EXPECT_THAT(draw_loss_curve(points, {10, 5, false}),
              ElementsAre("  4.000 +**", "        |  **", "        |    **", "        |      **",
                          "  2.000 +        **", "        +----------", "         step 1   3"));
}

TEST(LossCurve, BrailleUsesCellsOfTwoByFour) {
  const std::vector<LossPoint> points{{1, 1.0}, {2, 0.0}};
  const auto lines = draw_loss_curve(points, {2, 2, true});
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_EQ(lines[0], "  1.000 ┤⢣");
  EXPECT_EQ(lines[1], "  0.000 ┤ ⢣");
}

TEST(LossCurve, LeavesOutWhatIsNotFiniteAndNeedsTwoPoints) {
  const std::vector<LossPoint> one{{1, 1.0}, {2, NAN}};
  EXPECT_TRUE(draw_loss_curve(one, {}).empty());
  const std::vector<LossPoint> flat{{1, 2.0}, {5, 2.0}};
  EXPECT_EQ(draw_loss_curve(flat, {10, 3, false}).size(), 5U);
}

}  // namespace
}  // namespace coshard::node
