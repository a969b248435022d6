// Stage checkpoints of a small model with initial weights, and moments that differ from them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include "shard/checkpoint/stage_checkpoint.h"
#include "shard/numeric/init.h"
#include "tests/unit/data/temp_folder.h"

namespace coshard::shard {

inline ModelSpec small_model() {
  return {.hidden = 16,
          .layers = 3,
          .heads = 4,
          .kv_heads = 2,
          .ffn_hidden = 24,
          .vocab = 256,
          .sequence = 32,
          .rope_theta = 50'000.0};
}

inline std::vector<float> state_values(const ParameterSpec& parameter, StateKind kind) {
  std::vector<float> values(parameter.elements);
  initial_values(values, static_cast<std::uint64_t>(kind), parameter.name,
                 parameter.initial_std > 0 ? parameter.initial_std : 1.0);
  return values;
}

inline StageCheckpointHashes write_stage(const std::filesystem::path& path,
                                         const StageCheckpointInfo& info) {
  const auto list = parameters(info.model, info.slice);
  const auto written = write_stage_checkpoint(
      path, info, [&](std::size_t i, StateKind kind, const FloatSink& sink) -> Result<void> {
        const std::vector<float> values = state_values(list[i], kind);
        const std::size_t cut = values.size() / 3;
        COSHARD_TRY(sink(std::span(values).first(cut)));
        return sink(std::span(values).subspan(cut));
      });
  EXPECT_TRUE(written) << written.error().message;
  return *written;
}

inline StageCheckpointInfo stage_info(std::int64_t first, std::int64_t last, std::uint32_t stage,
                                      std::uint64_t step = 7) {
  const ModelSpec model = small_model();
  return {model, {first, last, first == 0, last == model.layers}, StageIndex(stage), StepId(step)};
}

}  // namespace coshard::shard
