// metrics.jsonl as the coordinator writes it, also around a resume and a torn end.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "node/cli/metrics_log.h"

namespace coshard::cli {
namespace {

using ::testing::HasSubstr;

TEST(Metrics, ReadsOneStepPerLine) {
  const auto metrics = parse_metrics(
      "{\"step\":1,\"loss\":5.5,\"tokens\":64,\"seconds\":0.5,\"grad_norm\":1.5,"
      "\"tokens_per_second\":128.0,\"more\":1}\n"
      "{\"step\":2,\"loss\":null,\"tokens\":64,\"seconds\":0.25}\n");
  ASSERT_TRUE(metrics) << metrics.error().message;
  ASSERT_EQ(metrics->size(), 2U);
  EXPECT_EQ((*metrics)[0].loss, 5.5);
  EXPECT_EQ((*metrics)[0].tokens, 64U);
  EXPECT_TRUE(std::isnan((*metrics)[1].loss));
  EXPECT_EQ(losses(*metrics).at(1).step, 2U);
}

TEST(Metrics, AResumeTakesBackWhatItRepeats) {
  const auto metrics = parse_metrics(
      "{\"step\":1,\"loss\":5}\n{\"step\":2,\"loss\":4}\n{\"step\":3,\"loss\":3}\n"
      "{\"step\":2,\"loss\":4.5}\n");
  ASSERT_TRUE(metrics);
  ASSERT_EQ(metrics->size(), 2U);
  EXPECT_EQ(metrics->back().loss, 4.5);
}

TEST(Metrics, ATornLastLineIsLeftOutAndAWrongOneIsNamed) {
  EXPECT_EQ(parse_metrics("{\"step\":1,\"loss\":5}\n{\"step\":2,\"lo")->size(), 1U);
  const auto wrong = parse_metrics("{\"step\":1,\"loss\":5}\nnonsense\n");
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().message, HasSubstr("metrics.jsonl:2: expected an object with a step"));
}

}  // namespace
}  // namespace coshard::cli
