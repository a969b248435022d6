// See torch_engine.h. The only file of shard/ that catches what libtorch throws.
// SPDX-License-Identifier: Apache-2.0
#include "shard/engine/torch_engine.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>

#include <cmath>
#include <exception>
#include <new>
#include <string>

#include "protocol/base/failpoint.h"
#include "shard/engine/blob_convert.h"
#include "shard/engine/determinism.h"
#include "shard/engine/input_check.h"
#include "shard/engine/state_io.h"
#include "shard/numeric/init.h"

namespace coshard::shard {
namespace {

/// Runs `body` with `device` as the thread's current one; what libraries throw becomes an error
/// value.
template <class Body>
auto guarded(at::Device device, std::string_view what, Body&& body) -> decltype(body()) {
  const auto error = [&](ErrorCode code, const char* message) {
    return fail(code, std::string(what) + ": " + message);
  };
  try {
    const c10::DeviceGuard guard(device);
    return body();
  } catch (const c10::OutOfMemoryError& e) {
    return error(ErrorCode::kResourceExhausted, e.what_without_backtrace());
  } catch (const c10::Error& e) {
    return error(ErrorCode::kInternal, e.what_without_backtrace());
  } catch (const std::bad_alloc&) {
    return error(ErrorCode::kResourceExhausted, "out of memory");
  } catch (const std::exception& e) {
    return error(ErrorCode::kInternal, e.what());
  }
}

at::Device torch_device(const Device& device) {
  if (device.kind == DeviceKind::kCpu) return at::kCPU;
  return {at::kCUDA, static_cast<at::DeviceIndex>(device.index)};
}

Result<void> check_config(const StageConfig& config) {
  COSHARD_TRY(validate(config.spec));
  const StageSlice& slice = config.slice;
  const bool inside = 0 <= slice.first_layer && slice.first_layer <= slice.last_layer &&
                      slice.last_layer <= config.spec.layers &&
                      (!slice.has_embedding || slice.first_layer == 0) &&
                      (!slice.has_head || slice.last_layer == config.spec.layers);
  if (!inside || parameters(config.spec, slice).empty())
    return fail(ErrorCode::kInvalidArgument,
                "stage slice: expected layers inside [0, " + std::to_string(config.spec.layers) +
                    ") with embedding and head at the ends only, found [" +
                    std::to_string(slice.first_layer) + ", " + std::to_string(slice.last_layer) +
                    ")");
  if (config.threads < 1 || config.stashes_max < 1)
    return fail(ErrorCode::kInvalidArgument,
                "stage engine: expected at least one thread and stash");
  return {};
}

/// What this stage computed itself is beyond use: no neighbour's fault.
tl::unexpected<Error> spoiled(const std::string& why) {
  return fail(ErrorCode::kUnavailable, why + "; it was computed here");
}

/// Likewise, after a backward pass that may have added to the sum.
Result<TensorBlob> after_sum(Result<TensorBlob> gradient, Accumulate accumulate) {
  if (gradient || accumulate == Accumulate::kNo) return gradient;
  return fail(ErrorCode::kCorruption, gradient.error().message + ", and the sum has it");
}

}  // namespace

TorchEngine::TorchEngine(const StageConfig& config, DeviceKernels& kernels)
    : config_(config),
      device_(torch_device(config.device)),
      module_(config.spec, config.slice,
              {.device = device_,
               .compute = config.precision == Precision::kBf16 ? at::kBFloat16 : at::kFloat,
               .fused = config.fused}),
      kernels_(kernels),
      optimizer_(module_, kernels),
      stash_(config.stashes_max) {}

void TorchEngine::initialise_weights() {
  const ParameterLayout& layout = module_.layout();
  std::vector<float> values;
  for (std::size_t i = 0; i < layout.specs().size(); ++i) {
    const ParameterSpec& parameter = layout.specs()[i];
    values.resize(parameter.elements);
    initial_values(values, config_.seed, parameter.name, parameter.initial_std);
    kernels_.copy_to_device(module_.weights().mutable_data_ptr<float>() + layout.offset(i),
                            values.data(), values.size() * sizeof(float));
  }
  module_.weights_changed();
}

Result<TorchEngine::Placed> TorchEngine::place(const StageInput& input) const {
  const auto* tokens = std::get_if<TokenBatch>(&input);
  if ((tokens != nullptr) != config_.slice.has_embedding)
    return fail(ErrorCode::kInvalidArgument,
                config_.slice.has_embedding ? "stage input: expected tokens at the first stage"
                                            : "stage input: expected activations, found tokens");
  if (tokens != nullptr) {
    COSHARD_TRY(check_tokens(config_.spec, *tokens, tokens->inputs, "stage input"));
    return Placed{{tokens->sequences, tokens->length}, to_tensor(tokens->inputs, device_)};
  }
  const auto& blob = std::get<TensorBlob>(input);
  COSHARD_TRY(check_boundary(config_.spec, blob, "stage input"));
  return Placed{{blob.shape[0], blob.shape[1]}, to_tensor(blob, device_)};
}

Result<TensorBlob> TorchEngine::leave(const at::Tensor& tensor, const BatchShape& shape,
                                      std::string_view what) const {
  TensorBlob blob = to_blob(tensor, {shape.sequences, shape.tokens, config_.spec.hidden});
  if (const auto sound = check_values(blob.view(), what); !sound)
    return spoiled(sound.error().message);
  return blob;
}

Result<TensorBlob> TorchEngine::forward(MicrobatchIndex microbatch, const StageInput& input) {
  COSHARD_ON(role_);
  return guarded(device_, "forward", [&]() -> Result<TensorBlob> {
    if (config_.slice.has_head)
      return fail(ErrorCode::kFailedPrecondition, "forward: the last stage takes forward_loss");
    COSHARD_TRY(stash_.check_room(microbatch));
    COSHARD_ASSIGN(const Placed placed, place(input));
    Stash kept{placed.shape, placed.tensor, {}};
    const at::Tensor y = module_.forward(placed.shape, placed.tensor,
                                         config_.recompute_activations ? nullptr : &kept.saved);
    COSHARD_ASSIGN(TensorBlob blob, leave(y, placed.shape, "forward"));
    stash_.put(microbatch, std::move(kept));
    return blob;
  });
}

Result<TensorBlob> TorchEngine::forward_only(const StageInput& input) {
  COSHARD_ON(role_);
  return guarded(device_, "forward", [&]() -> Result<TensorBlob> {
    if (config_.slice.has_head)
      return fail(ErrorCode::kFailedPrecondition, "forward: the last stage takes forward_loss");
    COSHARD_ASSIGN(const Placed placed, place(input));
    return leave(module_.forward(placed.shape, placed.tensor, nullptr), placed.shape, "forward");
  });
}

Result<LossResult> TorchEngine::forward_loss(MicrobatchIndex microbatch, const StageInput& input,
                                             const TokenBatch& targets, Accumulate accumulate) {
  COSHARD_ON(role_);
  return guarded(device_, "forward_loss", [&]() -> Result<LossResult> {
    if (!config_.slice.has_head)
      return fail(ErrorCode::kFailedPrecondition, "forward_loss: only the last stage has a loss");
    COSHARD_TRY(stash_.check_room(microbatch));
    COSHARD_ASSIGN(const Placed placed, place(input));
    COSHARD_TRY(check_tokens(config_.spec, targets, targets.targets, "targets"));
    if (targets.sequences != placed.shape.sequences || targets.length != placed.shape.tokens)
      return fail(ErrorCode::kInvalidArgument, "targets: expected the shape of the stage input");
    const HeadResult head = module_.forward_loss(placed.shape, placed.tensor,
                                                 to_tensor(targets.targets, device_), accumulate);
    if (!std::isfinite(head.loss_sum)) return spoiled("forward_loss: unit is not finite");
    LossResult result{head.loss_sum, static_cast<std::uint64_t>(placed.shape.rows()), {}};
    if (config_.slice.has_embedding) return result;
    COSHARD_ASSIGN(result.input_grad,
                   after_sum(leave(head.dx, placed.shape, "forward_loss"), accumulate));
    return result;
  });
}

Result<TensorBlob> TorchEngine::backward(MicrobatchIndex microbatch, const TensorBlob& output_grad,
                                         Accumulate accumulate) {
  COSHARD_ON(role_);
  return guarded(device_, "backward", [&]() -> Result<TensorBlob> {
    const Stash* held = stash_.find(microbatch);
    if (held == nullptr)
      return fail(ErrorCode::kFailedPrecondition,
                  "backward of microbatch " + std::to_string(microbatch.value) +
                      ": expected its forward before, found no activations");
    COSHARD_TRY(check_boundary(config_.spec, output_grad, "output gradient"));
    if (output_grad.shape[0] != held->shape.sequences || output_grad.shape[1] != held->shape.tokens)
      return fail(ErrorCode::kInvalidArgument,
                  "output gradient: expected the shape of what forward returned");
    Stash stash = stash_.take(microbatch);
    if (config_.recompute_activations) module_.forward(stash.shape, stash.input, &stash.saved);
    const at::Tensor dx = module_.backward(stash.shape, stash.input, stash.saved,
                                           to_tensor(output_grad, device_), accumulate);
    if (config_.slice.has_embedding) return TensorBlob{};
    return after_sum(leave(dx, stash.shape, "backward"), accumulate);
  });
}

void TorchEngine::drop_stash(MicrobatchIndex microbatch) {
  COSHARD_ON(role_);
  stash_.drop(microbatch);
}

Result<TensorBlob> TorchEngine::logits(const StageInput& input) {
  COSHARD_ON(role_);
  return guarded(device_, "logits", [&]() -> Result<TensorBlob> {
    if (!config_.slice.has_head)
      return fail(ErrorCode::kFailedPrecondition, "logits: only the last stage has them");
    COSHARD_ASSIGN(const Placed placed, place(input));
    const at::Tensor scores = module_.logits(placed.shape, placed.tensor);
    return to_blob(scores, {placed.shape.sequences, placed.shape.tokens, config_.spec.vocab});
  });
}

Result<SharedBytes> TorchEngine::gradient_chunk(ChunkIndex chunk) {
  COSHARD_ON(role_);
  return guarded(device_, "gradient_chunk", [&]() -> Result<SharedBytes> {
    COSHARD_TRY(optimizer_.check(chunk));
    const GradientChunk& range = optimizer_.chunks()[chunk.value];
    return to_bytes(module_.gradients(), module_.layout().offset(range),
                    static_cast<std::int64_t>(range.count));
  });
}

Result<AveragedChunk> TorchEngine::reduce_chunk(ChunkIndex chunk,
                                                std::span<const SharedBytes> contributions,
                                                float inv_tokens) {
  COSHARD_ON(role_);
  return guarded(device_, "reduce_chunk", [&]() -> Result<AveragedChunk> {
    COSHARD_TRY(optimizer_.check(chunk));
    COSHARD_ASSIGN(const double norm, optimizer_.reduce(chunk, contributions, inv_tokens));
    return AveragedChunk{contributions.empty() ? nullptr : optimizer_.average(chunk), norm};
  });
}

Result<double> TorchEngine::set_average(ChunkIndex chunk, const SharedBytes& average) {
  COSHARD_ON(role_);
  return guarded(device_, "set_average", [&]() -> Result<double> {
    COSHARD_TRY(optimizer_.check(chunk));
    return optimizer_.set_average(chunk, average);
  });
}

Result<StepReport> TorchEngine::apply_update(const CommitScalars& scalars) {
  COSHARD_ON(role_);
  return guarded(device_, "apply_update", [&]() -> Result<StepReport> {
    COSHARD_TRY(optimizer_.apply(scalars));
    COSHARD_FAILPOINT("update.done");
    stash_.clear();
    return StepReport{optimizer_.fingerprint(scalars.fingerprint_key)};
  });
}

void TorchEngine::abort_step() {
  COSHARD_ON(role_);
  const c10::DeviceGuard guard(device_);
  stash_.clear();
  optimizer_.zero_sums();
}

Result<TensorBlob> TorchEngine::view_of(const at::Tensor& flat, std::string_view name) const {
  const auto index = module_.layout().find(name);
  if (!index)
    return fail(ErrorCode::kNotFound, "parameter " + std::string(name) + ": not of this stage");
  return to_blob(module_.layout().view(flat, *index), module_.layout().specs()[*index].shape);
}

Result<TensorBlob> TorchEngine::parameter(std::string_view name) {
  COSHARD_ON(role_);
  return guarded(device_, "parameter", [&] { return view_of(module_.weights(), name); });
}

Result<TensorBlob> TorchEngine::gradient(std::string_view name) {
  COSHARD_ON(role_);
  return guarded(device_, "gradient", [&] { return view_of(module_.gradients(), name); });
}

Result<Fingerprint> TorchEngine::fingerprint(const std::array<std::uint8_t, 16>& key) {
  COSHARD_ON(role_);
  return guarded(device_, "fingerprint",
                 [&]() -> Result<Fingerprint> { return optimizer_.fingerprint(key); });
}

Result<StageSnapshot> TorchEngine::snapshot(StepId step) {
  COSHARD_ON(role_);
  return guarded(device_, "snapshot", [&]() -> Result<StageSnapshot> {
    StageSnapshot copy({config_.spec, config_.slice, config_.stage, step});
    copy_state({module_, optimizer_, kernels_}, copy);
    return copy;
  });
}

Result<StepId> TorchEngine::load(const std::filesystem::path& path) {
  COSHARD_ON(role_);
  return guarded(device_, "load", [&] {
    return load_state({module_, optimizer_, kernels_}, config_.spec, config_.slice, path);
  });
}

Result<void> TorchEngine::load_hugging_face(const std::filesystem::path& directory) {
  COSHARD_ON(role_);
  return guarded(device_, "load", [&] {
    return load_hugging_face_state({module_, optimizer_, kernels_}, config_.spec, directory);
  });
}

MemoryBytes TorchEngine::memory_bytes() const {
  return {.parameters = module_.parameter_bytes(),
          .optimizer = optimizer_.first_moments().nbytes() + optimizer_.second_moments().nbytes(),
          .gradients = optimizer_.gradient_bytes(),
          .stashes = stash_.bytes()};
}

Result<std::unique_ptr<StageEngine>> make_torch_engine(const StageConfig& config) {
  COSHARD_TRY(check_config(config));
  COSHARD_ASSIGN(DeviceKernels* const kernels, kernels_of(config.device));
  settle_torch(config.threads);
  return guarded(torch_device(config.device), "stage engine",
                 [&]() -> Result<std::unique_ptr<StageEngine>> {
                   auto engine = std::make_unique<TorchEngine>(config, *kernels);
                   engine->initialise_weights();
                   return engine;
                 });
}

}  // namespace coshard::shard
