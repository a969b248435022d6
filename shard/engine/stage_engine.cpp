// Which engine a program computes with.
// SPDX-License-Identifier: Apache-2.0
#include "shard/engine/stage_engine.h"

namespace coshard::shard {

Result<std::unique_ptr<StageEngine>> make_stage_engine(const StageConfig& config) {
  return make_torch_engine(config);
}

}  // namespace coshard::shard
