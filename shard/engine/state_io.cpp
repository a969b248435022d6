// See state_io.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/engine/state_io.h"

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "protocol/base/check.h"
#include "shard/checkpoint/hf_llama.h"
#include "shard/checkpoint/model_json.h"

namespace coshard::shard {
namespace {

constexpr StateKind kKinds[] = {StateKind::kWeight, StateKind::kMomentM, StateKind::kMomentV};

float* flat_of(const StageState& state, StateKind kind) {
  switch (kind) {
    case StateKind::kWeight:
      return state.module.weights().mutable_data_ptr<float>();
    case StateKind::kMomentM:
      return state.optimizer.first_moments().mutable_data_ptr<float>();
    case StateKind::kMomentV:
      return state.optimizer.second_moments().mutable_data_ptr<float>();
  }
  COSHARD_UNREACHABLE();
}

}  // namespace

void copy_state(const StageState& state, StageSnapshot& copy) {
  const ParameterLayout& layout = state.module.layout();
  for (const StateKind kind : kKinds)
    for (std::size_t i = 0; i < layout.specs().size(); ++i) {
      const std::span<float> values = copy.values(i, kind);
      state.kernels.copy_to_host(values.data(), flat_of(state, kind) + layout.offset(i),
                                 values.size_bytes());
    }
}

Result<StepId> load_state(const StageState& state, const ModelSpec& spec, const StageSlice& slice,
                          const std::filesystem::path& path) {
  COSHARD_ASSIGN(const StageCheckpoint checkpoint, StageCheckpoint::open(path));
  if (checkpoint.info().model != spec || checkpoint.info().slice != slice)
    return fail(ErrorCode::kInvalidArgument,
                path.string() + ": expected a checkpoint of this stage, found layers " +
                    std::to_string(checkpoint.info().slice.first_layer) + " to " +
                    std::to_string(checkpoint.info().slice.last_layer) + " of " +
                    (checkpoint.info().model == spec ? "this model" : "another model"));
  const ParameterLayout& layout = state.module.layout();
  std::vector<float> host;
  for (std::size_t i = 0; i < layout.specs().size(); ++i) {
    host.resize(layout.specs()[i].elements);
    for (const StateKind kind : kKinds) {
      COSHARD_TRY(checkpoint.read(i, kind, 0, host));
      state.kernels.copy_to_device(flat_of(state, kind) + layout.offset(i), host.data(),
                                   host.size() * sizeof(float));
    }
  }
  state.module.weights_changed();
  return checkpoint.info().step;
}

Result<void> load_hugging_face_state(const StageState& state, const ModelSpec& spec,
                                     const std::filesystem::path& directory) {
  COSHARD_ASSIGN(HfLlamaDirectory model, HfLlamaDirectory::open(directory));
  ModelSpec found = model.model();
  if (found.sequence >= spec.sequence) found.sequence = spec.sequence;
  if (found != spec)
    return fail(ErrorCode::kInvalidArgument,
                directory.string() + ": expected the model of the round, " + model_json(spec) +
                    "; found " + model_json(model.model()));
  const ParameterLayout& layout = state.module.layout();
  std::vector<float> host;
  for (std::size_t i = 0; i < layout.specs().size(); ++i) {
    host.resize(layout.specs()[i].elements);
    COSHARD_TRY(model.read(layout.specs()[i], 0, host));
    state.kernels.copy_to_device(flat_of(state, StateKind::kWeight) + layout.offset(i), host.data(),
                                 host.size() * sizeof(float));
  }
  state.optimizer.first_moments().zero_();
  state.optimizer.second_moments().zero_();
  state.module.weights_changed();
  return {};
}

}  // namespace coshard::shard
