// Weights and moments between the device and files: stage checkpoints and Hugging Face directories.
// One tensor at a time passes through host memory. cs-engine.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "shard/checkpoint/stage_snapshot.h"
#include "shard/engine/optimizer.h"

namespace coshard::shard {

/// The flat vectors that make a stage's state, their layout, and how to reach them.
struct StageState {
  StageModule& module;
  const Optimizer& optimizer;
  DeviceKernels& kernels;
};

/// Fills `copy`, which is of the same model and slice.
void copy_state(const StageState& state, StageSnapshot& copy);

/// Takes the state of a checkpoint of the same model and slice; returns its step. Nothing is taken
/// when the file is of another model, slice or format.
Result<StepId> load_state(const StageState& state, const ModelSpec& spec, const StageSlice& slice,
                          const std::filesystem::path& path);

/// Weights of this stage from a Hugging Face LLaMA directory of the same model (which may have been
/// made for longer sequences); moments become zero.
Result<void> load_hugging_face_state(const StageState& state, const ModelSpec& spec,
                                     const std::filesystem::path& directory);

}  // namespace coshard::shard
