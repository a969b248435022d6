// What is said of a wait, and how long something may take by the times that it took before.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/wait.h"

#include <gtest/gtest.h>

#include "protocol/base/limits.h"

namespace coshard::round {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
constexpr TimePoint kStart{};

TEST(Wait, SaysWhatHowLongAndWhatComesThen) {
  const Wait wait{"the gradient of microbatch 5 from stage 1, replica 2", kStart, kStart + 2s,
                  "other replicas are preferred to it"};
  EXPECT_EQ(sentence(wait, kStart + 1200ms),
            "the gradient of microbatch 5 from stage 1, replica 2: 1.2 s; in 0.8 s other replicas "
            "are preferred to it");
  EXPECT_EQ(sentence(wait, kStart + 2300ms),
            "the gradient of microbatch 5 from stage 1, replica 2: 2.3 s; 0.3 s late: other "
            "replicas are preferred to it");
}

TEST(Wait, TheMostUrgentComeFirstAndAreFew) {
  std::vector<Wait> waits;
  for (int i = 20; i > 0; --i) waits.push_back({std::to_string(i), kStart, kStart + i * 1s, ""});
  const auto shown = most_urgent(waits);
  ASSERT_EQ(shown.size(), limits::kWaitsShown);
  for (std::size_t i = 0; i < shown.size(); ++i) EXPECT_EQ(shown[i].what, std::to_string(i + 1));
}

TEST(Times, ExpectTheMedianAndSixDeviationsAtMostTheCap) {
  Times times;
  EXPECT_EQ(times.expected(4s), 4s) << "nothing is measured";
  for (int i = 0; i < 4; ++i) times.add(100ms);
  EXPECT_EQ(times.expected(4s), 100ms) << "always the same";
  times.add(9s);
  EXPECT_EQ(times.expected(4s), 100ms) << "one mishap is forgiven";
  for (const Duration time : {110ms, 120ms, 130ms}) times.add(time);
  // 100 100 100 100 110 120 130 9000: the median is 110, deviations 0 10 10 10 10 10 20 8890.
  EXPECT_EQ(times.expected(4s), 170ms);
  EXPECT_EQ(times.expected(150ms), 150ms);
  for (int i = 0; i < 64; ++i) times.add(500ms);
  EXPECT_EQ(times.expected(4s), 500ms) << "what was long ago is forgotten";
}

TEST(Rate, ScalesWithTheBytesUpToTheCap) {
  Rate rate;
  EXPECT_EQ(rate.expected(1, 4s), 4s) << "nothing is measured";
  rate.add(0, 1s);
  EXPECT_EQ(rate.expected(1, 4s), 4s) << "no bytes say nothing";
  for (const std::uint64_t mebibytes : {1U, 2U, 4U}) rate.add(mebibytes << 20, mebibytes * 100ms);
  EXPECT_EQ(rate.expected(std::uint64_t{3} << 20, 4s), 300ms);
  EXPECT_EQ(rate.expected(std::uint64_t{1} << 19, 4s), 50ms);
  EXPECT_EQ(rate.expected(std::uint64_t{80} << 20, 4s), 4s);
  for (const Duration time : {120ms, 140ms}) rate.add(1 << 20, time);
  // Per MiB 100 100 100 120 140: the median is 100, deviations 0 0 0 20 40.
  EXPECT_EQ(rate.expected(1 << 20, 4s), 100ms);
  for (const Duration time : {120ms, 140ms}) rate.add(1 << 20, time);
  // 100 100 100 120 120 140 140: 120, deviations 0 0 20 20 20 20 20.
  EXPECT_EQ(rate.expected(2 << 20, 4s), 480ms);
}

TEST(Rate, OfFewBytesInALongTimeOrInNoneStaysATime) {
  Rate slow;
  slow.add(1, 10'800s);  // 131,072 days per MiB, and more nanoseconds than a Duration holds
  EXPECT_EQ(slow.expected(std::uint64_t{1} << 20, Duration::max()), std::chrono::hours(24))
      << "the slowest that is counted with";
  Rate backwards;
  backwards.add(1 << 20, -1s);
  EXPECT_EQ(backwards.expected(1 << 20, 4s), 0s) << "nothing takes less than no time";
}

TEST(Inquiry, GivesTwiceTheTimeForEachQuestionUntilTheAnswer) {
  Inquiry inquiry;
  inquiry.ask(kStart);
  EXPECT_EQ(inquiry.due(), kStart + limits::kRepeatInterval);
  inquiry.answered(kStart + 80ms);
  inquiry.ask(kStart + 1s);
  EXPECT_EQ(inquiry.due(), kStart + 1080ms);
  inquiry.ask_again(kStart + 1080ms);
  EXPECT_EQ(inquiry.due(), kStart + 1240ms);
  inquiry.answered(kStart + 1400ms);
  inquiry.ask(kStart + 2s);
  // 80 and 400 (from the first question): the median is 400, its deviations 0 and 320.
  EXPECT_EQ(inquiry.due(), kStart + 2s + limits::kRepeatInterval);
}

}  // namespace
}  // namespace coshard::round
