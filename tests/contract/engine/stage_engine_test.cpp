// What a StageEngine promises whatever computes inside: shapes, refusals that leave no trace, the
// order of calls, averages, updates, files. Run on the plain and the fused version, with and
// without recomputed activations, and in bf16 (which takes the paths that a GPU takes).
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>

#include "shard/checkpoint/hf_llama.h"
#include "tests/contract/engine/engine_fixture.h"

namespace coshard::shard {
namespace {

INSTANTIATE_TEST_SUITE_P(Kinds, StageEngineContract, kKinds, name_of);

TEST_P(StageEngineContract, ShapesAndTypesOfWhatLeaves) {
  const auto a = first(), b = last();
  const TokenBatch batch = tokens();
  const auto hidden = a->forward(MicrobatchIndex(0), batch);
  ASSERT_TRUE(hidden) << hidden.error().message;
  EXPECT_EQ(hidden->shape, (Shape{kSequences, 8, kSpec.hidden}));
  EXPECT_EQ(hidden->dtype, DType::kF32);
  EXPECT_EQ(hidden->view().size(), dense_bytes(DType::kF32, hidden->shape));
  const auto loss = b->forward_loss(MicrobatchIndex(0), *hidden, batch);
  ASSERT_TRUE(loss) << loss.error().message;
  EXPECT_EQ(loss->tokens, 16U);
  EXPECT_NEAR(loss->loss_sum, 16 * std::log(50.0), 1.0) << "an untrained model knows nothing";
  EXPECT_EQ(loss->input_grad.shape, hidden->shape);
  const auto done = a->backward(MicrobatchIndex(0), loss->input_grad);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_TRUE(done->view().empty()) << "nobody stands before stage 0";
  EXPECT_FALSE(all_zero(sums(*a)));
  const auto logits = b->logits(*hidden);
  ASSERT_TRUE(logits) << logits.error().message;
  EXPECT_EQ(logits->shape, (Shape{kSequences, 8, kSpec.vocab}));
  const auto alone = whole()->forward_loss(MicrobatchIndex(0), batch, batch);
  ASSERT_TRUE(alone);
  EXPECT_TRUE(alone->input_grad.view().empty());
}

TEST_P(StageEngineContract, ShorterSequencesAreTaken) {
  const auto engine = whole();
  const TokenBatch batch = tokens(3, 5);
  const auto loss = engine->forward_loss(MicrobatchIndex(0), batch, batch);
  ASSERT_TRUE(loss) << loss.error().message;
  EXPECT_EQ(loss->tokens, 10U);
}

TEST_P(StageEngineContract, RefusesBadActivationsAndCountsNothing) {
  const auto engine = last();
  const TokenBatch batch = tokens();
  const auto refuse = [&](const TensorBlob& bad, const char* why) {
    SCOPED_TRACE(why);
    EXPECT_EQ(code_of(engine->forward_loss(MicrobatchIndex(0), bad, batch)),
              ErrorCode::kInvalidArgument);
  };
  const TensorBlob good = boundary(2);
  TensorBlob bad = good;
  bad.dtype = DType::kI32;
  refuse(bad, "dtype");
  bad = good;
  bad.encoding = BoundaryEncoding::kBF16;
  refuse(bad, "encoded");
  bad = good;
  bad.shape = {kSequences, 8, kSpec.hidden + 1};
  refuse(bad, "hidden");
  bad.shape = {kSequences * 8, kSpec.hidden};
  refuse(bad, "dimensions");
  bad.shape = {-kSequences, -8, kSpec.hidden};
  refuse(bad, "negative");
  bad.shape = {1, 16, kSpec.hidden};
  refuse(bad, "longer than the model's sequence");
  bad = good;
  bad.bytes = share(Bytes(good.bytes->begin(), good.bytes->end() - 4));
  refuse(bad, "truncated");
  bad.bytes = nullptr;
  refuse(bad, "no bytes");
  for (const float value :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Bytes bytes = *good.bytes;
    std::memcpy(bytes.data() + 400, &value, sizeof value);
    bad = good;
    bad.bytes = share(std::move(bytes));
    refuse(bad, "not finite");
  }
  refuse(boundary(2, 1e9), "absurd norm");
  EXPECT_EQ(code_of(engine->forward_loss(MicrobatchIndex(0), batch, batch)),
            ErrorCode::kInvalidArgument)
      << "tokens at a stage without embedding";
  EXPECT_TRUE(all_zero(sums(*engine)));
  EXPECT_TRUE(engine->forward_loss(MicrobatchIndex(0), good, batch)) << "the run goes on";
}

TEST_P(StageEngineContract, RefusesBadTokensAndTargets) {
  const auto engine = whole();
  const TokenBatch good = tokens();
  const auto refuse = [&](const TokenBatch& input, const TokenBatch& targets, const char* why) {
    SCOPED_TRACE(why);
    EXPECT_EQ(code_of(engine->forward_loss(MicrobatchIndex(0), input, targets)),
              ErrorCode::kInvalidArgument);
  };
  TokenBatch bad = good;
  bad.inputs[3] = 50;
  refuse(bad, good, "token not below the vocabulary");
  bad.inputs[3] = -1;
  refuse(bad, good, "negative token");
  bad = good;
  bad.inputs.pop_back();
  refuse(bad, good, "missing token");
  bad = good;
  bad.length = 16;
  bad.sequences = 1;
  refuse(bad, good, "too long");
  bad = good;
  bad.targets[0] = 1000;
  refuse(good, bad, "target not below the vocabulary");
  refuse(good, tokens(1, 4), "targets of another shape");
  EXPECT_EQ(code_of(engine->forward_loss(MicrobatchIndex(0), boundary(1), good)),
            ErrorCode::kInvalidArgument);
  EXPECT_TRUE(all_zero(sums(*engine)));
}

TEST_P(StageEngineContract, RefusesBadGradientsAndKeepsTheStash) {
  const auto engine = first();
  ASSERT_TRUE(engine->forward(MicrobatchIndex(0), tokens()));
  EXPECT_EQ(code_of(engine->backward(MicrobatchIndex(0), boundary(1, 1, 4))),
            ErrorCode::kInvalidArgument)
      << "another shape";
  Bytes bytes = *boundary(1).bytes;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(bytes.data(), &nan, sizeof nan);
  TensorBlob bad = boundary(1);
  bad.bytes = share(std::move(bytes));
  EXPECT_EQ(code_of(engine->backward(MicrobatchIndex(0), bad)), ErrorCode::kInvalidArgument);
  EXPECT_TRUE(all_zero(sums(*engine)));
  EXPECT_TRUE(engine->backward(MicrobatchIndex(0), boundary(1)));
}

TEST_P(StageEngineContract, CallsOutOfOrder) {
  const auto engine = first();
  EXPECT_EQ(code_of(engine->backward(MicrobatchIndex(0), boundary(1))),
            ErrorCode::kFailedPrecondition);
  ASSERT_TRUE(engine->forward(MicrobatchIndex(0), tokens()));
  EXPECT_EQ(code_of(engine->forward(MicrobatchIndex(0), tokens())), ErrorCode::kFailedPrecondition);
  ASSERT_TRUE(engine->forward(MicrobatchIndex(1), tokens()));
  ASSERT_TRUE(engine->forward(MicrobatchIndex(2), tokens()));
  EXPECT_GT(engine->memory_bytes().stashes, 0U);
  EXPECT_EQ(code_of(engine->forward(MicrobatchIndex(3), tokens())), ErrorCode::kResourceExhausted);
  engine->drop_stash(MicrobatchIndex(1));
  EXPECT_EQ(code_of(engine->backward(MicrobatchIndex(1), boundary(1))),
            ErrorCode::kFailedPrecondition);
  ASSERT_TRUE(engine->forward(MicrobatchIndex(3), tokens()));
  EXPECT_EQ(code_of(engine->forward_loss(MicrobatchIndex(4), tokens(), tokens())),
            ErrorCode::kFailedPrecondition);
  EXPECT_EQ(code_of(last()->forward(MicrobatchIndex(0), boundary(1))),
            ErrorCode::kFailedPrecondition);
  EXPECT_EQ(code_of(engine->apply_update(scalars())), ErrorCode::kFailedPrecondition);
  EXPECT_EQ(code_of(engine->gradient_chunk(ChunkIndex(1000))), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of(engine->parameter("lm_head.weight")), ErrorCode::kNotFound);
  engine->abort_step();
  EXPECT_EQ(engine->memory_bytes().stashes, 0U);
}

TEST_P(StageEngineContract, SumsAddUpAndSurviveAverages) {
  const auto engine = whole();
  const TokenBatch batch = tokens();
  ASSERT_TRUE(engine->forward_loss(MicrobatchIndex(0), batch, batch));
  const std::vector<SharedBytes> once = sums(*engine);
  ASSERT_TRUE(engine->forward_loss(MicrobatchIndex(1), batch, batch));
  const std::vector<SharedBytes> twice = sums(*engine);
  const auto at = [](const SharedBytes& bytes, std::size_t i) {
    float value = 0;
    std::memcpy(&value, bytes->data() + 4 * i, sizeof value);
    return value;
  };
  for (std::size_t c = 0; c < once.size(); ++c)
    for (std::size_t i = 0; i < once[c]->size() / 4; ++i)
      ASSERT_NEAR(at(twice[c], i), 2 * at(once[c], i), 1e-5 * (1 + std::abs(at(twice[c], i))));
  average_own(*engine);
  EXPECT_TRUE(same(sums(*engine), twice)) << "a stage must be able to average again";
  engine->abort_step();
  EXPECT_TRUE(all_zero(sums(*engine)));
}

TEST_P(StageEngineContract, AveragesInReplicaOrderAndChecksThem) {
  const auto engine = whole();
  const ChunkIndex chunk(0);
  const std::size_t count = engine->layout()[0].count;
  const auto filled = [&](float value) {
    Bytes bytes;
    for (std::size_t i = 0; i < count; ++i)
      append(bytes, {reinterpret_cast<std::uint8_t*>(&value), 4});
    return share(std::move(bytes));
  };
  // 1e8 + 1 rounds to 1e8 in fp32, so the order shows.
  const std::vector<SharedBytes> up{filled(1e8F), filled(1), filled(-1e8F)};
  const std::vector<SharedBytes> down{filled(1e8F), filled(-1e8F), filled(1)};
  EXPECT_EQ(*engine->reduce_chunk(chunk, up, 0.5F)->bytes, *filled(0));
  const auto averaged = engine->reduce_chunk(chunk, down, 0.5F);
  EXPECT_EQ(*averaged->bytes, *filled(0.5F));
  EXPECT_EQ(averaged->squared_norm, 0.25 * static_cast<double>(count));
  EXPECT_EQ(engine->set_average(chunk, filled(2)).value(), 4.0 * static_cast<double>(count));
  EXPECT_EQ(code_of(engine->set_average(chunk, share(Bytes(8)))), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of(engine->set_average(chunk, nullptr)), ErrorCode::kInvalidArgument);
  const auto nan = filled(std::numeric_limits<float>::quiet_NaN());
  EXPECT_FALSE(std::isfinite(engine->set_average(chunk, nan).value()));
  EXPECT_FALSE(
      std::isfinite(engine->reduce_chunk(chunk, std::vector{filled(1), nan}, 1)->squared_norm));
}

TEST_P(StageEngineContract, UpdateMovesParametersAndReplicasAgree) {
  const auto a = whole(), b = whole();
  const TokenBatch batch = tokens();
  ASSERT_TRUE(a->forward_loss(MicrobatchIndex(0), batch, batch));
  for (std::uint32_t c = 0; c < a->layout().size(); ++c) {
    const std::vector<SharedBytes> own{*a->gradient_chunk(ChunkIndex(c))};
    const auto averaged = a->reduce_chunk(ChunkIndex(c), own, 1.0F / 16);
    ASSERT_TRUE(averaged);
    ASSERT_TRUE(b->set_average(ChunkIndex(c), averaged->bytes));
  }
  const Fingerprint before = *a->fingerprint(scalars().fingerprint_key);
  const Fingerprint after = a->apply_update(scalars())->digest;
  EXPECT_NE(after, before);
  EXPECT_EQ(b->apply_update(scalars())->digest, after);
  EXPECT_EQ(*a->fingerprint(scalars().fingerprint_key), after);
  EXPECT_NE(*a->fingerprint({6}), after) << "the key matters";
  EXPECT_TRUE(all_zero(sums(*a)));
  EXPECT_EQ(code_of(a->apply_update(scalars())), ErrorCode::kFailedPrecondition)
      << "averages belong to one step";
}

TEST_P(StageEngineContract, SkippedUpdateEndsTheStepAndChangesNothing) {
  const auto engine = whole();
  const TokenBatch batch = tokens();
  ASSERT_TRUE(engine->forward_loss(MicrobatchIndex(0), batch, batch));
  const Fingerprint before = *engine->fingerprint(scalars().fingerprint_key);
  CommitScalars skipped = scalars();
  skipped.skip = true;
  EXPECT_EQ(engine->apply_update(skipped)->digest, before);
  EXPECT_TRUE(all_zero(sums(*engine)));
}

TEST_P(StageEngineContract, OwnUnitThatIsNotFiniteIsSaidToBeRedoneElsewhere) {
  const auto engine = first();
  ASSERT_TRUE(engine->forward(MicrobatchIndex(0), tokens()));
  ASSERT_TRUE(engine->backward(MicrobatchIndex(0), boundary(1)));
  average_own(*engine);
  CommitScalars wild = scalars();
  wild.step_size = std::numeric_limits<float>::max();
  wild.sqrt_bias_correction2 = 1e-3F;
  ASSERT_TRUE(engine->apply_update(wild));
  const auto result = engine->forward(MicrobatchIndex(0), tokens());
  EXPECT_EQ(code_of(result), ErrorCode::kUnavailable);
  EXPECT_NE(result.error().message.find("unit is not finite"), std::string::npos);
}

/// As large as an input may be, and larger when it has gone through the stage.
TEST_P(StageEngineContract, WhatIsNotFiniteAndInTheSumAllowsASkippedUpdateAndNoOther) {
  const auto engine = make({1, 2, false, false}, 1);
  const TensorBlob wild = boundary(3, 0.9 * std::sqrt(12.0) * limits::kBoundaryRmsMax);
  ASSERT_TRUE(engine->forward(MicrobatchIndex(0), boundary(1, 0.01)));
  EXPECT_EQ(code_of(engine->backward(MicrobatchIndex(0), wild, Accumulate::kNo)),
            ErrorCode::kUnavailable);
  EXPECT_TRUE(all_zero(sums(*engine)));
  ASSERT_TRUE(engine->forward(MicrobatchIndex(0), boundary(1, 0.01)));
  EXPECT_EQ(code_of(engine->backward(MicrobatchIndex(0), wild)), ErrorCode::kCorruption);
  EXPECT_FALSE(all_zero(sums(*engine)));
  Bytes infinite = *engine->gradient_chunk(ChunkIndex(0)).value();
  const float infinity = std::numeric_limits<float>::infinity();
  std::memcpy(infinite.data(), &infinity, sizeof infinity);
  const SharedBytes part = share(std::move(infinite));
  const auto average = engine->reduce_chunk(ChunkIndex(0), {&part, 1}, 1.0F);
  ASSERT_TRUE(average);
  EXPECT_FALSE(std::isfinite(average->squared_norm));
  EXPECT_FALSE(std::isfinite(engine->set_average(ChunkIndex(0), average->bytes).value()));
  EXPECT_EQ(code_of(engine->apply_update(scalars())), ErrorCode::kFailedPrecondition);
  CommitScalars skipped = scalars();
  skipped.skip = true;
  EXPECT_TRUE(engine->apply_update(skipped));
  EXPECT_TRUE(all_zero(sums(*engine)));
}

TEST_P(StageEngineContract, InitialWeightsDoNotDependOnTheCut) {
  const auto all = whole(), part = last();
  const StageSlice slice{1, 2, false, true};
  for (const ParameterSpec& parameter : parameters(kSpec, slice))
    EXPECT_EQ(*all->parameter(parameter.name)->bytes, *part->parameter(parameter.name)->bytes);
  EXPECT_NE(*make(slice, 2)->parameter("lm_head.weight")->bytes,
            *part->parameter("lm_head.weight")->bytes);
}

class Folder {
 public:
  Folder()
      : path_(std::filesystem::temp_directory_path() /
              ("coshard-engine-" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

TEST_P(StageEngineContract, FilesOfOthersAreRefusedAndChangeNothing) {
  const Folder folder;
  const auto a = first(), b = last();
  const auto path = folder.path() / "stage";
  ASSERT_TRUE(b->save(path, StepId(3)));
  const Fingerprint before = *a->fingerprint({1});
  EXPECT_EQ(code_of(a->load(path)), ErrorCode::kInvalidArgument) << "another slice";
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 8);
  EXPECT_EQ(code_of(a->load(path)), ErrorCode::kCorruption) << "torn";
  EXPECT_EQ(code_of(a->load(folder.path() / "nothing")), ErrorCode::kNotFound);
  EXPECT_EQ(*a->fingerprint({1}), before);
}

TEST_P(StageEngineContract, StartsFromAHuggingFaceDirectoryByItsOwnTensors) {
  const Folder folder;
  const auto a = make({0, 1, true, false}, 5), b = make({1, 2, false, true}, 5);
  ASSERT_TRUE(a->save(folder.path() / "a", StepId(9)));
  ASSERT_TRUE(b->save(folder.path() / "b", StepId(9)));
  const auto exported = export_hf_llama(
      {.stage_files = {folder.path() / "a", folder.path() / "b"}, .out = folder.path() / "hf"});
  ASSERT_TRUE(exported) << exported.error().message;
  const auto fresh = last();
  ASSERT_NE(*fresh->fingerprint({1}), *b->fingerprint({1}));
  const auto loaded = fresh->load_hugging_face(folder.path() / "hf");
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(*fresh->fingerprint({1}), *b->fingerprint({1}));
  StageConfig other = config({0, 1, true, false});
  other.spec.ffn_hidden = 48;
  EXPECT_EQ(code_of((*make_stage_engine(other))->load_hugging_face(folder.path() / "hf")),
            ErrorCode::kInvalidArgument);
}

TEST(StageEngineConfig, ImpossibleOnesAreRefused) {
  StageConfig config;
  config.spec = kSpec;
  config.slice = {0, 9, true, true};
  EXPECT_EQ(code_of(make_stage_engine(config)), ErrorCode::kInvalidArgument);
  config.slice = {1, 2, true, true};
  EXPECT_EQ(code_of(make_stage_engine(config)), ErrorCode::kInvalidArgument);
  config.slice = whole_model(kSpec);
  config.spec.heads = 5;
  EXPECT_EQ(code_of(make_stage_engine(config)), ErrorCode::kInvalidArgument);
  config.spec = kSpec;
  config.device = {DeviceKind::kCuda, 0};
  EXPECT_EQ(code_of(make_stage_engine(config)), ErrorCode::kFailedPrecondition)
      << "the module was not opened";
}

}  // namespace
}  // namespace coshard::shard
