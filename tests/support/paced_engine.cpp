// A stage engine that waits instead of computing: so long per forward and per backward as
// COSHARD_PACE says, "FORWARD_MS BACKWARD_MS SLOW_STAGE FACTOR FILE [AFTER]". Of the stage
// SLOW_STAGE the process that creates FILE is slower by FACTOR, from its forward AFTER + 1 on. What
// it averages, updates, saves and loads has the stage's size; the gradients are integers, added as
// the real engine adds, so that digests agree or the round ends. Linked with node/daemon/main.cpp
// it is a node for measurements of everything but computing.
// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <thread>

#include "crypto/hash.h"
#include "protocol/base/check.h"
#include "shard/data/file.h"
#include "shard/engine/stage_engine.h"

namespace coshard::shard {
namespace {

struct WaitTimes {
  std::chrono::duration<double, std::milli> forward{}, backward{};
  double factor = 1;
  std::uint64_t after = 0;  ///< forwards at the usual pace
};

WaitTimes wait_times(StageIndex stage) {
  const char* text = std::getenv("COSHARD_PACE");
  COSHARD_CHECK(text != nullptr);
  std::istringstream words(text);
  double forward = 0, backward = 0, factor = 1;
  std::uint64_t after = 0;
  std::uint32_t slow_stage = 0;
  std::string file;
  COSHARD_CHECK(words >> forward >> backward >> slow_stage >> factor >> file);
  words >> after;
  const bool slow = stage.value == slow_stage &&
                    ::open(file.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600) >= 0;
  return {std::chrono::duration<double, std::milli>(forward),
          std::chrono::duration<double, std::milli>(backward), slow ? factor : 1, after};
}

class PacedEngine final : public StageEngine {
 public:
  explicit PacedEngine(const StageConfig& config)
      : config_(config),
        times_(wait_times(config.stage)),
        layout_(gradient_layout(parameters(config.spec, config.slice))) {
    const std::size_t elements = layout_.back().offset + layout_.back().count;
    for (Vector* state : {&weights_, &first_, &second_, &sum_, &average_}) state->resize(elements);
    for (std::size_t i = 0; i < elements; ++i) weights_[i] = static_cast<float>(i % 97) / 97;
  }

  const std::vector<GradientChunk>& layout() const override { return layout_; }

  Result<TensorBlob> forward(MicrobatchIndex, const StageInput& input) override {
    ++forwards_;
    take(times_.forward);
    return boundary(input);
  }
  Result<TensorBlob> forward_only(const StageInput& input) override {
    return forward(MicrobatchIndex(0), input);
  }
  Result<LossResult> forward_loss(MicrobatchIndex microbatch, const StageInput& input,
                                  const TokenBatch& targets, Accumulate accumulate) override {
    ++forwards_;
    take(times_.forward + times_.backward);
    add(microbatch, accumulate);
    const auto tokens = static_cast<std::uint64_t>(targets.target_tokens());
    return LossResult{static_cast<double>(tokens), tokens, boundary(input)};
  }
  Result<TensorBlob> backward(MicrobatchIndex microbatch, const TensorBlob& output_grad,
                              Accumulate accumulate) override {
    take(times_.backward);
    add(microbatch, accumulate);
    return config_.slice.has_embedding ? TensorBlob{} : output_grad;
  }
  void drop_stash(MicrobatchIndex) override {}
  Result<TensorBlob> logits(const StageInput&) override { return none(); }

  Result<SharedBytes> gradient_chunk(ChunkIndex chunk) override {
    return bytes_of(part_of(sum_, chunk));
  }
  Result<AveragedChunk> reduce_chunk(ChunkIndex chunk, std::span<const SharedBytes> contributions,
                                     float inv_tokens) override {
    std::vector<const float*> parts;
    for (const auto& part : contributions)
      parts.push_back(reinterpret_cast<const float*>(part->data()));
    if (parts.empty()) parts.push_back(part_of(sum_, chunk).data());
    const std::span<float> average = part_of(average_, chunk);
    cpu_kernels().reduce_in_order(average.data(), parts, average.size(), inv_tokens);
    return AveragedChunk{bytes_of(average), norm_of(average)};
  }
  Result<double> set_average(ChunkIndex chunk, const SharedBytes& average) override {
    const std::span<float> here = part_of(average_, chunk);
    std::memcpy(here.data(), average->data(), here.size_bytes());
    return norm_of(here);
  }
  Result<StepReport> apply_update(const CommitScalars& scalars) override {
    const UpdateSlice all{weights_.data(), first_.data(),   second_.data(),
                          average_.data(), weights_.size(), false};
    if (!scalars.skip) cpu_kernels().adamw_update(all, scalars);
    abort_step();
    return StepReport{digest(scalars.fingerprint_key)};
  }
  void abort_step() override { std::ranges::fill(sum_, 0); }

  Result<StageSnapshot> snapshot(StepId step) override {
    StageSnapshot copy({config_.spec, config_.slice, config_.stage, step});
    COSHARD_TRY(each_tensor([&](std::size_t parameter, StateKind kind, std::span<float> values) {
      std::ranges::copy(values, copy.values(parameter, kind).begin());
      return Result<void>();
    }));
    return copy;
  }
  Result<StepId> load(const std::filesystem::path& path) override {
    COSHARD_ASSIGN(const StageCheckpoint saved, StageCheckpoint::open(path));
    COSHARD_TRY(each_tensor([&](std::size_t parameter, StateKind kind, std::span<float> values) {
      return saved.read(parameter, kind, 0, values);
    }));
    return saved.info().step;
  }
  Result<void> load_hugging_face(const std::filesystem::path&) override { return none(); }
  Result<TensorBlob> parameter(std::string_view) override { return none(); }
  Result<TensorBlob> gradient(std::string_view) override { return none(); }
  Result<Fingerprint> fingerprint(const std::array<std::uint8_t, 16>& key) override {
    return digest(key);
  }
  MemoryBytes memory_bytes() const override { return {}; }

 private:
  using Vector = std::vector<float>;

  void take(std::chrono::duration<double, std::milli> usual) const {
    std::this_thread::sleep_for(usual * (forwards_ > times_.after ? times_.factor : 1));
  }

  static tl::unexpected<Error> none() {
    return fail(ErrorCode::kInternal, "the paced engine has no model");
  }
  static SharedBytes bytes_of(std::span<const float> values) {
    const auto* begin = reinterpret_cast<const std::uint8_t*>(values.data());
    return share(Bytes(begin, begin + values.size_bytes()));
  }
  static double norm_of(std::span<const float> values) {
    return cpu_kernels().squared_norm(values.data(), values.size());
  }
  std::span<float> part_of(Vector& values, ChunkIndex chunk) const {
    const GradientChunk& part = layout_.at(chunk.value);
    return std::span(values).subspan(part.offset, part.count);
  }
  /// `visit`(parameter, kind, its values), of the whole state.
  template <class Visit>
  Result<void> each_tensor(const Visit& visit) {
    std::size_t first = 0, parameter = 0;
    for (const ParameterSpec& spec : parameters(config_.spec, config_.slice)) {
      for (const auto& [kind, values] : {std::pair{StateKind::kWeight, &weights_},
                                         {StateKind::kMomentM, &first_},
                                         {StateKind::kMomentV, &second_}})
        COSHARD_TRY(visit(parameter, kind, std::span(*values).subspan(first, spec.elements)));
      first += spec.elements;
      ++parameter;
    }
    return {};
  }
  /// Integers, so that every order of adding is exact.
  void add(MicrobatchIndex microbatch, Accumulate accumulate) {
    if (accumulate == Accumulate::kNo) return;
    for (std::size_t i = 0; i < sum_.size(); ++i)
      sum_[i] += static_cast<float>(1 + (microbatch.value * 31 + i) % 7);
  }
  /// What passes a boundary is of the right shape and says nothing.
  TensorBlob boundary(const StageInput& input) const {
    if (const auto* blob = std::get_if<TensorBlob>(&input)) return *blob;
    const auto& tokens = std::get<TokenBatch>(input);
    const Shape shape{tokens.sequences, tokens.length, config_.spec.hidden};
    return {DType::kF32, BoundaryEncoding::kNone, shape,
            share(Bytes(dense_bytes(DType::kF32, shape).value(), 0))};
  }
  Fingerprint digest(const std::array<std::uint8_t, 16>& key) const {
    Bytes all(key.begin(), key.end());
    const SharedBytes weights = bytes_of(weights_);
    all.insert(all.end(), weights->begin(), weights->end());
    const Hash hash = crypto::sha256(all);
    Fingerprint short_hash{};
    std::copy_n(hash.begin(), short_hash.size(), short_hash.begin());
    return short_hash;
  }

  const StageConfig config_;
  const WaitTimes times_;
  std::uint64_t forwards_ = 0;
  std::vector<GradientChunk> layout_;
  Vector weights_, first_, second_, sum_, average_;
};

}  // namespace

std::uint64_t measure_speed(const Device&, int) { return 0; }

Result<std::unique_ptr<StageEngine>> make_stage_engine(const StageConfig& config) {
  return std::make_unique<PacedEngine>(config);
}

}  // namespace coshard::shard
