// The real engine, which now and then says that a unit is not finite, as COSHARD_POISON says:
// "FAULT STAGE FIRST LAST MICROBATCH TIMES DELAY_MS". FAULT: "unit" refuses forwards with nothing
// accumulated, "sum" spoils the gradient sum, "none" does neither. It befalls units of STAGE in the
// steps FIRST to LAST, of one MICROBATCH or of "any", TIMES in the life of the process at most.
// Every forward takes DELAY_MS longer, so that a round has time for what happens in it. Linked with
// node/daemon/main.cpp it is a node.
// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <cstdlib>
#include <sstream>
#include <string>
#include <thread>

#include "protocol/base/check.h"
#include "shard/engine/stage_engine.h"

namespace coshard::shard {
namespace {

struct Poison {
  std::string fault;
  std::uint32_t stage = 0;
  std::uint64_t first = 0, last = 0;
  std::string microbatch;
  int times = 0;
  std::int64_t delay_ms = 0;
};

Poison poison_of_process() {
  const char* text = std::getenv("COSHARD_POISON");
  COSHARD_CHECK(text != nullptr);
  std::istringstream words(text);
  Poison poison;
  COSHARD_CHECK(words >> poison.fault >> poison.stage >> poison.first >> poison.last >>
                poison.microbatch >> poison.times >> poison.delay_ms);
  return poison;
}

class PoisonedEngine final : public StageEngine {
 public:
  PoisonedEngine(std::unique_ptr<StageEngine> real, StageIndex stage)
      : real_(std::move(real)), stage_(stage) {}

  Result<TensorBlob> forward(MicrobatchIndex microbatch, const StageInput& input) override {
    wait();
    if (strikes("unit", microbatch)) return not_finite();
    return real_->forward(microbatch, input);
  }
  Result<LossResult> forward_loss(MicrobatchIndex microbatch, const StageInput& input,
                                  const TokenBatch& targets, Accumulate accumulate) override {
    wait();
    if (strikes("unit", microbatch)) return not_finite();
    auto result = real_->forward_loss(microbatch, input, targets, accumulate);
    if (accumulate == Accumulate::kYes && strikes("sum", microbatch)) return spoilt();
    return result;
  }
  Result<TensorBlob> backward(MicrobatchIndex microbatch, const TensorBlob& output_grad,
                              Accumulate accumulate) override {
    auto result = real_->backward(microbatch, output_grad, accumulate);
    if (accumulate == Accumulate::kYes && strikes("sum", microbatch)) return spoilt();
    return result;
  }
  Result<StepReport> apply_update(const CommitScalars& scalars) override {
    step_ = scalars.step.next();
    return real_->apply_update(scalars);
  }
  Result<StepId> load(const std::filesystem::path& path) override {
    auto loaded = real_->load(path);
    if (loaded) step_ = loaded->next();
    return loaded;
  }

  const std::vector<GradientChunk>& layout() const override { return real_->layout(); }
  Result<TensorBlob> forward_only(const StageInput& input) override {
    return real_->forward_only(input);
  }
  void drop_stash(MicrobatchIndex microbatch) override { real_->drop_stash(microbatch); }
  Result<TensorBlob> logits(const StageInput& input) override { return real_->logits(input); }
  Result<SharedBytes> gradient_chunk(ChunkIndex chunk) override {
    return real_->gradient_chunk(chunk);
  }
  Result<AveragedChunk> reduce_chunk(ChunkIndex chunk, std::span<const SharedBytes> contributions,
                                     float inv_tokens) override {
    return real_->reduce_chunk(chunk, contributions, inv_tokens);
  }
  Result<double> set_average(ChunkIndex chunk, const SharedBytes& average) override {
    return real_->set_average(chunk, average);
  }
  void abort_step() override { real_->abort_step(); }
  Result<StageSnapshot> snapshot(StepId step) override { return real_->snapshot(step); }
  Result<void> load_hugging_face(const std::filesystem::path& directory) override {
    return real_->load_hugging_face(directory);
  }
  Result<TensorBlob> parameter(std::string_view name) override { return real_->parameter(name); }
  Result<TensorBlob> gradient(std::string_view name) override { return real_->gradient(name); }
  Result<Fingerprint> fingerprint(const std::array<std::uint8_t, 16>& key) override {
    return real_->fingerprint(key);
  }
  MemoryBytes memory_bytes() const override { return real_->memory_bytes(); }

 private:
  static Poison& poison() {
    static Poison all = poison_of_process();
    return all;
  }
  static void wait() { std::this_thread::sleep_for(std::chrono::milliseconds(poison().delay_ms)); }
  bool strikes(std::string_view fault, MicrobatchIndex microbatch) const {
    Poison& poison = PoisonedEngine::poison();
    const bool here = poison.fault == fault && poison.stage == stage_.value &&
                      step_.value >= poison.first && step_.value <= poison.last;
    const bool meant =
        poison.microbatch == "any" || poison.microbatch == std::to_string(microbatch.value);
    return here && meant && poison.times > 0 && poison.times-- > 0;
  }
  static tl::unexpected<Error> not_finite() {
    return fail(ErrorCode::kUnavailable, "unit is not finite; it was computed here");
  }
  static tl::unexpected<Error> spoilt() {
    return fail(ErrorCode::kCorruption, "unit is not finite, and the sum has it");
  }

  const std::unique_ptr<StageEngine> real_;
  const StageIndex stage_;
  StepId step_{1};  ///< that is open
};

}  // namespace

Result<std::unique_ptr<StageEngine>> make_stage_engine(const StageConfig& config) {
  COSHARD_ASSIGN(std::unique_ptr<StageEngine> real, make_torch_engine(config));
  return std::make_unique<PoisonedEngine>(std::move(real), config.stage);
}

}  // namespace coshard::shard
