// What the runner does with repair: a forward that keeps nothing, gradients that are not counted,
// tensors sent again to another unit, evicted, or of an averaging attempt that came to nothing. The
// engine is a fake that notes its calls; everything around it is real.
// SPDX-License-Identifier: Apache-2.0
#include "node/daemon/stage_runner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <semaphore>

#include "crypto/hash.h"
#include "tests/support/round_fixture.h"

namespace coshard {
namespace {

using shard::Accumulate;

/// Of the next forward, where it fails.
std::optional<ErrorCode> engine_fault;

/// Says what was asked of it; an output is its input with another first byte.
class FakeEngine final : public shard::StageEngine {
 public:
  FakeEngine(const shard::StageConfig& config, std::vector<std::string>& calls)
      : config_(config), calls_(calls) {}

  const std::vector<shard::GradientChunk>& layout() const override { return chunks_; }
  Result<TensorBlob> forward(MicrobatchIndex, const shard::StageInput& input) override {
    calls_.push_back("forward");
    if (engine_fault) return fail(*engine_fault, "unit is not finite");
    return marked(std::get<TensorBlob>(input), 0xf0);
  }
  Result<TensorBlob> forward_only(const shard::StageInput& input) override {
    calls_.push_back("forward_only");
    return marked(std::get<TensorBlob>(input), 0xf0);
  }
  Result<shard::LossResult> forward_loss(MicrobatchIndex, const shard::StageInput&,
                                         const shard::TokenBatch&, Accumulate) override {
    return fail(ErrorCode::kInternal, "not the last stage");
  }
  Result<TensorBlob> backward(MicrobatchIndex, const TensorBlob& output_grad,
                              Accumulate accumulate) override {
    calls_.push_back(accumulate == Accumulate::kYes ? "backward" : "backward, not counted");
    return marked(output_grad, 0xb0);
  }
  void drop_stash(MicrobatchIndex) override { calls_.push_back("drop_stash"); }
  Result<TensorBlob> logits(const shard::StageInput&) override { return none<TensorBlob>(); }
  Result<SharedBytes> gradient_chunk(ChunkIndex) override { return share(Bytes(8, 1)); }
  Result<shard::AveragedChunk> reduce_chunk(ChunkIndex, std::span<const SharedBytes> parts,
                                            float) override {
    return shard::AveragedChunk{parts.front(), 2};
  }
  Result<double> set_average(ChunkIndex, const SharedBytes&) override { return 2; }
  Result<shard::StepReport> apply_update(const CommitScalars&) override {
    return none<shard::StepReport>();
  }
  void abort_step() override {}
  Result<shard::StageSnapshot> snapshot(StepId step) override {
    calls_.push_back("snapshot");
    shard::StageSnapshot copy({config_.spec, config_.slice, config_.stage, step});
    const auto parameters = shard::parameters(config_.spec, config_.slice);
    for (std::size_t i = 0; i < parameters.size(); ++i)
      for (const auto kind :
           {shard::StateKind::kWeight, shard::StateKind::kMomentM, shard::StateKind::kMomentV})
        std::ranges::fill(copy.values(i, kind), 0.5F);
    return copy;
  }
  Result<StepId> load(const std::filesystem::path&) override { return none<StepId>(); }
  Result<void> load_hugging_face(const std::filesystem::path&) override { return {}; }
  Result<TensorBlob> parameter(std::string_view) override { return none<TensorBlob>(); }
  Result<TensorBlob> gradient(std::string_view) override { return none<TensorBlob>(); }
  Result<Fingerprint> fingerprint(const std::array<std::uint8_t, 16>&) override {
    return Fingerprint{};
  }
  shard::MemoryBytes memory_bytes() const override { return {}; }

 private:
  template <class T>
  static Result<T> none() {
    return fail(ErrorCode::kInternal, "not in this test");
  }
  static TensorBlob marked(TensorBlob blob, std::uint8_t mark) {
    Bytes bytes = *blob.bytes;
    bytes.front() = mark;
    blob.bytes = share(std::move(bytes));
    return blob;
  }
  const shard::StageConfig config_;
  std::vector<std::string>& calls_;
  std::vector<shard::GradientChunk> chunks_{{0, 0, 2}, {0, 2, 2}};
};

/// Of the test that runs; written on cs-engine, read when it is idle.
std::vector<std::string> engine_calls;

}  // namespace

// The real one is in the torch library, which this test does not link.
Result<std::unique_ptr<shard::StageEngine>> shard::make_stage_engine(const StageConfig& config) {
  return std::make_unique<FakeEngine>(config, engine_calls);
}

namespace node {
namespace {

using round::ChunkKey;
using round::Direction;
using round::TensorKey;
using round::Work;
using round::WorkOp;

struct Sent {
  NodeId to;
  Message message;
  Bytes payload;
};

const NodeId kSelf{{1}}, kBefore{{2}}, kAfter{{3}}, kReplica{{4}};

/// A node that holds the middle one of three stages.
class StageRunnerTest : public ::testing::Test {
 protected:
  StageRunnerTest() {
    engine_calls.clear();
    engine_fault.reset();
    std::filesystem::create_directory(folder.path() / "site");
    engine.start();
    runner.set_package({test::round_text(three_stages()), {}, test::read_text(folder.manifest())});
    Welcome welcome;
    welcome.stage = StageIndex(1);
    welcome.incarnation = Incarnation(1);
    runner.run(round::Begin{welcome});
    settle();
    for (const auto& failed : events_of<round::StageFailed>()) ADD_FAILURE() << failed.reason;
  }
  ~StageRunnerTest() override { engine.close(); }

  RunnerPorts ports() {
    return {.self = kSelf,
            .post = [this](round::ParticipantEvent event) { events.push_back(std::move(event)); },
            .send = [this](const NodeId& to, const Message& message,
                           std::span<const wire::Payload> payloads) -> Result<void> {
              sent.push_back({to, message, *payloads.front().bytes});
              return {};
            },
            .sent =
                [this](const NodeId& to, const TensorKey& key, const KeptTensor& tensor) {
                  receipts.push_back({to, key, tensor});
                },
            .used = [this](const TensorKey& key, const KeptTensor&) { used.push_back(key); },
            .updated = [](StepId, const Fingerprint&) {},
            .behind =
                [this](BulkThread::Job job) {
                  behind.push_back(std::move(job));
                  return true;
                }};
  }
  /// Until cs-engine has nothing left to do.
  void settle() {
    runner.turn();
    while (engine.outstanding() > 0) {
      woken.acquire();
      runner.turn();
    }
  }
  static Unit unit(std::uint32_t stage, std::uint32_t attempt) {
    return {StepId(1), MicrobatchIndex(5), StageIndex(stage), Attempt(attempt)};
  }
  void receive(const NodeId& from, const Message& message, const round::PayloadKey& key,
               std::size_t bytes = 8) {
    const std::vector<wire::Payload> payloads{wire::hashed(share(Bytes(bytes, 7)))};
    runner.set_incoming(from, &message, &payloads);
    runner.run(round::KeepPayload{key});
    runner.set_incoming(from, nullptr, nullptr);
  }
  void receive_input(std::uint32_t attempt) {
    receive(kBefore, ForwardTensor{unit(0, attempt), header(), false},
            TensorKey{unit(0, attempt), Direction::kForward});
  }
  void receive_gradient(std::uint32_t attempt) {
    receive(kAfter, BackwardTensor{unit(2, attempt), header(), 0},
            TensorKey{unit(2, attempt), Direction::kBackward});
  }
  static TensorHeader header() { return {DType::kF32, BoundaryEncoding::kNone, {1, 1, 2}}; }
  void compute(WorkOp op, std::uint32_t attempt, bool counts) {
    runner.run(round::Compute{Work{op, unit(1, attempt), counts}});
    settle();
  }
  template <class Event>
  std::vector<Event> events_of() const {
    std::vector<Event> found;
    for (const auto& event : events)
      if (const auto* one = std::get_if<Event>(&event)) found.push_back(*one);
    return found;
  }

  struct Receipt {
    NodeId to;
    TensorKey key;
    KeptTensor tensor;
  };
  static test::TinyRound three_stages() {
    test::TinyRound round;
    round.stages = 3;
    round.layers = 3;
    round.replicas = 2;
    return round;
  }
  test::RoundFixture folder{three_stages()};
  std::counting_semaphore<> woken{0};
  EngineThread engine{[this] { woken.release(); }};
  std::vector<round::ParticipantEvent> events;
  std::vector<Sent> sent;
  std::vector<Receipt> receipts;
  std::vector<TensorKey> used;
  std::vector<BulkThread::Job> behind;  ///< to be done by a thread that may wait
  StageSite site{folder.path() / "site", folder.path() / "data", folder.path() / "kept", {}, 1, 0};
  StageRunner runner{engine, site, ports()};
};

TEST_F(StageRunnerTest, AForwardAloneIsKeptAndTakenInButCountsNothing) {
  ASSERT_EQ(events_of<round::StageReady>().size(), 1U);
  receive_input(2);
  compute(WorkOp::kForwardOnly, 2, false);
  EXPECT_EQ(engine_calls, std::vector<std::string>{"forward_only"});
  const auto done = events_of<round::ComputeDone>();
  ASSERT_EQ(done.size(), 1U);
  EXPECT_EQ(done[0].error, "");
  EXPECT_EQ(done[0].work, (Work{WorkOp::kForwardOnly, unit(1, 2), false}));
  EXPECT_EQ(runner.counters().tokens_done, 0U);
  EXPECT_EQ(used, (std::vector{TensorKey{unit(0, 2), Direction::kForward}}));
  EXPECT_NE(runner.store().size(), 0U);
  runner.run(round::SendTensor{kAfter, unit(1, 2), Direction::kForward, 0, Attempt(7), true});
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(std::get<ForwardTensor>(sent[0].message), (ForwardTensor{unit(1, 7), header(), true}));
  EXPECT_EQ(sent[0].payload.front(), 0xf0);
}

TEST_F(StageRunnerTest, AGradientIsPassedOnWithoutBeingCounted) {
  receive_input(0);
  receive_gradient(0);
  compute(WorkOp::kForward, 0, false);
  compute(WorkOp::kBackward, 0, false);
  EXPECT_EQ(engine_calls,
            (std::vector<std::string>{"drop_stash", "forward", "backward, not counted"}));
  EXPECT_EQ(runner.counters().tokens_done, 0U);
  receive_input(1);
  receive_gradient(1);
  compute(WorkOp::kForward, 1, true);
  compute(WorkOp::kBackward, 1, true);
  EXPECT_EQ(engine_calls.back(), "backward");
  EXPECT_EQ(runner.counters().tokens_done, runner.plan()->round.training.microbatch_sequences * 16);
  EXPECT_EQ(events_of<round::ComputeDone>().size(), 4U);
  EXPECT_TRUE(events_of<round::EngineFailed>().empty());
}

TEST_F(StageRunnerTest, ATensorIsSentAgainToAnotherUnitUnderThatUnitsAttempt) {
  receive_input(3);
  receive_gradient(3);
  compute(WorkOp::kForward, 3, true);
  compute(WorkOp::kBackward, 3, true);
  for (const auto& [to, attempt] : {std::pair(kBefore, 3U), std::pair(kReplica, 9U)})
    runner.run(round::SendTensor{to, unit(1, 3), Direction::kBackward, 4, Attempt(attempt), true});
  ASSERT_EQ(sent.size(), 2U);
  EXPECT_EQ(std::get<BackwardTensor>(sent[0].message), (BackwardTensor{unit(1, 3), header(), 4}));
  EXPECT_EQ(std::get<BackwardTensor>(sent[1].message), (BackwardTensor{unit(1, 9), header(), 4}));
  EXPECT_EQ(sent[0].payload, sent[1].payload);
  EXPECT_EQ(sent[1].to, kReplica);
  // Receipts name the edge as the message did, so that both ends sign the same.
  ASSERT_EQ(receipts.size(), 2U);
  EXPECT_EQ(receipts[1].key, (TensorKey{unit(1, 9), Direction::kBackward}));
  EXPECT_EQ(receipts[1].tensor.in_hash, crypto::sha256(Bytes(8, 7)));
}

/// A disk that takes its time keeps nothing waiting but the word that the checkpoint is there.
TEST_F(StageRunnerTest, ACheckpointIsWrittenBehindTheEnginesBack) {
  runner.run(round::SaveCheckpoint{StepId(3)});
  settle();
  ASSERT_EQ(behind.size(), 1U);
  EXPECT_EQ(engine_calls.back(), "snapshot");
  receive_input(0);
  compute(WorkOp::kForward, 0, true);
  EXPECT_EQ(engine_calls.back(), "forward") << "the engine goes on";
  EXPECT_TRUE(events_of<round::CheckpointSaved>().empty());
  const std::filesystem::path file = folder.path() / "kept/step-00000003/stage-1.safetensors";
  EXPECT_FALSE(std::filesystem::exists(file));
  const BulkThread::Reply reply = behind[0]();
  EXPECT_TRUE(events_of<round::CheckpointSaved>().empty()) << "the word is for cs-net to say";
  reply();
  const auto saved = events_of<round::CheckpointSaved>();
  ASSERT_EQ(saved.size(), 1U);
  EXPECT_EQ(saved[0].error, "");
  EXPECT_EQ(saved[0].file_hash, crypto::sha256(as_bytes(test::read_text(file))));
}

TEST_F(StageRunnerTest, WhatIsNotFiniteIsAUnitsFaultAndZerosMayTakeItsPlace) {
  const std::vector<std::pair<ErrorCode, UnitFault>> faults{
      {ErrorCode::kInvalidArgument, UnitFault::kInput},
      {ErrorCode::kUnavailable, UnitFault::kNotFinite},
      {ErrorCode::kCorruption, UnitFault::kSpoilsSum}};
  receive_input(0);
  for (const auto& [code, fault] : faults) {
    engine_fault = code;
    events.clear();
    compute(WorkOp::kForward, 0, true);
    const auto done = events_of<round::ComputeDone>();
    ASSERT_EQ(done.size(), 1U);
    EXPECT_EQ(done[0].fault, fault);
    EXPECT_EQ(done[0].error, "unit is not finite");
    EXPECT_TRUE(events_of<round::EngineFailed>().empty());
  }
  events.clear();
  engine_calls.clear();
  runner.run(round::Compute{Work{WorkOp::kForward, unit(1, 0), true, true}});
  receive_gradient(0);
  runner.run(round::Compute{Work{WorkOp::kBackward, unit(1, 0), true, true}});
  settle();
  EXPECT_TRUE(engine_calls.empty());
  const auto done = events_of<round::ComputeDone>();
  ASSERT_EQ(done.size(), 2U);
  EXPECT_EQ(done[1].error, "");
  EXPECT_TRUE(std::isnan(done[1].loss_sum));
  for (const auto direction : {Direction::kForward, Direction::kBackward}) {
    runner.run(round::SendTensor{kAfter, unit(1, 0), direction, 0, Attempt(0), true});
    EXPECT_EQ(sent.back().payload, Bytes(8)) << "zeros";
  }
  EXPECT_EQ(std::get<ForwardTensor>(sent[0].message).tensor, header());
}

TEST_F(StageRunnerTest, WhatIsNotKeptIsSaidAndNoFailure) {
  runner.run(round::SendTensor{kAfter, unit(1, 0), Direction::kForward, 0, Attempt(1), true});
  const auto gone = events_of<round::OutputEvicted>();
  ASSERT_EQ(gone.size(), 1U);
  EXPECT_EQ(gone[0].key, (TensorKey{unit(1, 0), Direction::kForward}));
  EXPECT_TRUE(gone[0].wanted);
  EXPECT_TRUE(sent.empty());
  EXPECT_TRUE(receipts.empty());
  EXPECT_TRUE(events_of<round::EngineFailed>().empty());
}

TEST_F(StageRunnerTest, ChunksOfADroppedAttemptAreForgottenAlsoWhenTheyComeLate) {
  const auto contribution = [&](std::uint32_t attempt) {
    receive(kReplica, GradientChunk{StepId(1), StageIndex(1), Attempt(attempt), ChunkIndex(0)},
            ChunkKey{StepId(1), Attempt(attempt), ChunkIndex(0), kReplica, false});
  };
  const auto reduce = [&](std::uint32_t attempt) {
    runner.run(
        round::ReduceChunk{StepId(1), Attempt(attempt), ChunkIndex(0), {kSelf, kReplica}, 64});
  };
  contribution(0);
  contribution(1);
  reduce(0);  // its average is on its way when the attempt is dropped
  runner.run(round::DropChunks{StepId(1), Attempt(0)});
  settle();
  EXPECT_EQ(runner.store().size(), 1U) << "the next attempt's contribution";
  reduce(1);
  settle();
  EXPECT_EQ(runner.store().size(), 1U) << "the next attempt's average";
  EXPECT_TRUE(events_of<round::EngineFailed>().empty());
  EXPECT_EQ(events_of<round::ChunkReduced>().size(), 2U);
  runner.run(round::DropChunks{StepId(1), Attempt(1)});
  EXPECT_EQ(runner.store().size(), 0U);
}

TEST_F(StageRunnerTest, AnAverageThatIsMissingIsNeverTakenFromAnEarlierAttempt) {
  receive(kReplica, AveragedChunk{StepId(1), StageIndex(1), Attempt(1), ChunkIndex(0), 2},
          ChunkKey{StepId(1), Attempt(1), ChunkIndex(0), kReplica, true});
  runner.run(round::SetAverage{StepId(1), Attempt(1)});
  settle();
  EXPECT_TRUE(events_of<round::AverageSet>().empty());
  EXPECT_EQ(events_of<round::EngineFailed>().size(), 1U);
}

}  // namespace
}  // namespace node
}  // namespace coshard
