// What repair asks of a StageEngine (design 3.3): outputs and gradients again, bit for bit, without
// counting a microbatch twice; averaging again after a replica is lost.
// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "protocol/base/limits.h"
#include "tests/contract/engine/engine_fixture.h"

namespace coshard::shard {
namespace {

class StageEngineRepair : public StageEngineContract {};
INSTANTIATE_TEST_SUITE_P(Kinds, StageEngineRepair, kKinds, name_of);

TEST_P(StageEngineRepair, ForwardOnlyGivesTheSameOutputAndKeepsNothing) {
  const auto engine = first(), fresh = first();
  const auto kept = engine->forward(MicrobatchIndex(0), tokens(1));
  ASSERT_TRUE(kept) << kept.error().message;
  ASSERT_TRUE(engine->forward(MicrobatchIndex(1), tokens(2)));
  ASSERT_TRUE(engine->forward(MicrobatchIndex(2), tokens(3)));
  const std::uint64_t held = engine->memory_bytes().stashes;
  const auto again = engine->forward_only(tokens(1));
  ASSERT_TRUE(again) << "full stashes do not matter: " << again.error().message;
  EXPECT_EQ(*again->bytes, *kept->bytes);
  EXPECT_EQ(again->shape, kept->shape);
  EXPECT_EQ(engine->memory_bytes().stashes, held);
  EXPECT_EQ(*fresh->forward_only(tokens(1))->bytes, *kept->bytes);
  EXPECT_EQ(fresh->memory_bytes().stashes, 0U);
  EXPECT_EQ(code_of(fresh->backward(MicrobatchIndex(0), boundary(4))),
            ErrorCode::kFailedPrecondition);
  // The stash that was there has not been touched.
  ASSERT_TRUE(fresh->forward(MicrobatchIndex(0), tokens(1)));
  ASSERT_TRUE(engine->backward(MicrobatchIndex(0), boundary(4)));
  ASSERT_TRUE(fresh->backward(MicrobatchIndex(0), boundary(4)));
  EXPECT_TRUE(same(sums(*engine), sums(*fresh)));
  EXPECT_EQ(code_of(last()->forward_only(boundary(1))), ErrorCode::kFailedPrecondition);
  EXPECT_EQ(code_of(engine->forward_only(boundary(1))), ErrorCode::kInvalidArgument);
}

TEST_P(StageEngineRepair, GradientIsPassedOnWithoutBeingCounted) {
  const StageSlice middle{1, 2, false, false};
  const auto counting = make(middle), passing = make(middle);
  for (StageEngine* engine : {counting.get(), passing.get()}) {
    ASSERT_TRUE(engine->forward(MicrobatchIndex(0), boundary(1)));
    ASSERT_TRUE(engine->backward(MicrobatchIndex(0), boundary(2, 1e-2)));
    ASSERT_TRUE(engine->forward(MicrobatchIndex(1), boundary(3)));
  }
  const std::vector<SharedBytes> before = sums(*passing);
  ASSERT_FALSE(all_zero(before));
  const TensorBlob grad = boundary(4, 1e-2);
  const auto counted = counting->backward(MicrobatchIndex(1), grad);
  const auto passed = passing->backward(MicrobatchIndex(1), grad, Accumulate::kNo);
  ASSERT_TRUE(counted) << counted.error().message;
  ASSERT_TRUE(passed) << passed.error().message;
  EXPECT_EQ(*passed->bytes, *counted->bytes);
  EXPECT_TRUE(same(sums(*passing), before));
  EXPECT_FALSE(same(sums(*counting), before));
  EXPECT_EQ(passing->memory_bytes().stashes, 0U) << "what forward kept is used up";
  // Counted in the end, the sum is the one of an engine that never passed anything on.
  ASSERT_TRUE(passing->forward(MicrobatchIndex(1), boundary(3)));
  ASSERT_TRUE(passing->backward(MicrobatchIndex(1), grad));
  EXPECT_TRUE(same(sums(*passing), sums(*counting)));
}

TEST_P(StageEngineRepair, LossIsGivenWithoutBeingCounted) {
  const auto counting = last(), passing = last();
  const TokenBatch batch = tokens();
  ASSERT_TRUE(passing->forward_loss(MicrobatchIndex(0), boundary(1), batch));
  const std::vector<SharedBytes> before = sums(*passing);
  ASSERT_FALSE(all_zero(before));
  const auto counted = counting->forward_loss(MicrobatchIndex(1), boundary(2), batch);
  const auto passed =
      passing->forward_loss(MicrobatchIndex(1), boundary(2), batch, Accumulate::kNo);
  ASSERT_TRUE(passed) << passed.error().message;
  EXPECT_EQ(*passed->input_grad.bytes, *counted->input_grad.bytes);
  EXPECT_EQ(passed->loss_sum, counted->loss_sum);
  EXPECT_EQ(passed->tokens, counted->tokens);
  EXPECT_TRUE(same(sums(*passing), before));
}

TEST_P(StageEngineRepair, NothingGoesOnFromStageZeroEvenWhenNothingCounts) {
  const auto engine = first(), alone = whole();
  ASSERT_TRUE(engine->forward(MicrobatchIndex(0), tokens()));
  const auto done = engine->backward(MicrobatchIndex(0), boundary(1), Accumulate::kNo);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_TRUE(done->view().empty());
  EXPECT_TRUE(all_zero(sums(*engine)));
  const auto loss = alone->forward_loss(MicrobatchIndex(0), tokens(), tokens(), Accumulate::kNo);
  ASSERT_TRUE(loss) << loss.error().message;
  EXPECT_TRUE(all_zero(sums(*alone)));
}

TEST_P(StageEngineRepair, GradientThatIsRefusedSpoilsNoSumThatItIsNotIn) {
  // A gradient just inside the bounds, and weights that make it larger on its way.
  const auto engine = make({1, 2, false, false});
  ASSERT_TRUE(engine->forward(MicrobatchIndex(0), boundary(1)));
  ASSERT_TRUE(engine->backward(MicrobatchIndex(0), boundary(2)));
  average_own(*engine);
  CommitScalars wild = scalars();
  wild.step_size = 1;
  ASSERT_TRUE(engine->apply_update(wild));
  const TensorBlob steep = boundary(2, 3.3 * limits::kBoundaryRmsMax);
  ASSERT_TRUE(engine->forward(MicrobatchIndex(0), boundary(1)));
  EXPECT_EQ(code_of(engine->backward(MicrobatchIndex(0), steep, Accumulate::kNo)),
            ErrorCode::kUnavailable);
  EXPECT_TRUE(all_zero(sums(*engine)));
  ASSERT_TRUE(engine->forward(MicrobatchIndex(0), boundary(1)));
  EXPECT_EQ(code_of(engine->backward(MicrobatchIndex(0), steep)), ErrorCode::kCorruption);
  EXPECT_FALSE(all_zero(sums(*engine)));
}

/// One averaging attempt over everything that the engine has summed, alone or with a replica whose
/// sums are `others`; odd chunks come as another reducer's.
void average(StageEngine& engine, const std::vector<SharedBytes>& others) {
  for (std::uint32_t c = 0; c < engine.layout().size(); ++c) {
    const ChunkIndex chunk(c);
    if (others.empty()) {
      ASSERT_TRUE(engine.reduce_chunk(chunk, {}, 1.0F / 16));
      continue;
    }
    const std::vector<SharedBytes> parts{*engine.gradient_chunk(chunk), others[c]};
    const auto reduced = engine.reduce_chunk(chunk, parts, 1.0F / 32);
    ASSERT_TRUE(reduced) << reduced.error().message;
    if (c % 2 == 1) {
      const auto norm = engine.set_average(chunk, reduced->bytes);
      ASSERT_TRUE(norm) << norm.error().message;
      EXPECT_EQ(*norm, reduced->squared_norm);
    }
  }
}

TEST_P(StageEngineRepair, LastAveragingAttemptHolds) {
  const TokenBatch batch = tokens();
  const auto other = whole();
  ASSERT_TRUE(other->forward_loss(MicrobatchIndex(0), tokens(7), tokens(8)));
  for (const std::vector<SharedBytes>& others : {std::vector<SharedBytes>{}, sums(*other)}) {
    SCOPED_TRACE(others.empty() ? "alone" : "with a replica");
    const auto once = whole(), twice = whole();
    for (StageEngine* engine : {once.get(), twice.get()})
      ASSERT_TRUE(engine->forward_loss(MicrobatchIndex(0), batch, batch));
    // The first attempt is over for all chunks when a replica dies and its unit is redone here.
    average(*twice, others);
    const std::vector<SharedBytes> before = sums(*twice);
    for (StageEngine* engine : {once.get(), twice.get()})
      ASSERT_TRUE(engine->forward_loss(MicrobatchIndex(1), tokens(5), tokens(6)));
    EXPECT_FALSE(same(sums(*twice), before));
    EXPECT_TRUE(same(sums(*twice), sums(*once)));
    average(*once, others);
    average(*twice, others);
    EXPECT_TRUE(same(sums(*twice), sums(*once)));
    const auto expected = once->apply_update(scalars());
    const auto found = twice->apply_update(scalars());
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->digest, expected->digest);
    for (const ParameterSpec& parameter : parameters(kSpec, whole_model(kSpec)))
      ASSERT_EQ(*twice->parameter(parameter.name)->bytes, *once->parameter(parameter.name)->bytes)
          << parameter.name;
    EXPECT_TRUE(all_zero(sums(*twice)));
  }
}

TEST_P(StageEngineRepair, FailedAttemptLeavesItsChunkWithoutAnAverage) {
  const auto engine = whole();
  const TokenBatch batch = tokens();
  ASSERT_TRUE(engine->forward_loss(MicrobatchIndex(0), batch, batch));
  average_own(*engine);
  Bytes bytes = **engine->gradient_chunk(ChunkIndex(0));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(bytes.data(), &nan, sizeof nan);
  EXPECT_FALSE(std::isfinite(engine->set_average(ChunkIndex(0), share(std::move(bytes))).value()));
  EXPECT_EQ(code_of(engine->apply_update(scalars())), ErrorCode::kFailedPrecondition);
  average_own(*engine);
  EXPECT_TRUE(engine->apply_update(scalars()));
}

}  // namespace
}  // namespace coshard::shard
