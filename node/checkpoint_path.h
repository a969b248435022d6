// Where a stage's checkpoint lies below a folder of checkpoints. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdio>
#include <filesystem>
#include <string>

#include "protocol/base/ids.h"

namespace coshard::node {

/// "DIR/step-00000020/stage-1.safetensors".
inline std::filesystem::path checkpoint_path(const std::filesystem::path& checkpoints, StepId step,
                                             StageIndex stage) {
  std::array<char, 32> folder{};
  std::snprintf(folder.data(), folder.size(), "step-%08llu",
                static_cast<unsigned long long>(step.value));
  return checkpoints / folder.data() / ("stage-" + std::to_string(stage.value) + ".safetensors");
}

}  // namespace coshard::node
