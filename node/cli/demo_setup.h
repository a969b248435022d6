// Before a demo starts: its folder, keys, data and round file. Everything that can be wrong is
// found before anything is written. Home thread: main.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <filesystem>
#include <map>
#include <string>

#include "node/cli/command_line.h"
#include "node/round_file.h"
#include "protocol/base/ids.h"

namespace coshard::cli {

struct DemoPlan {
  std::filesystem::path dir;  ///< absolute
  node::RoundFile round;
  std::filesystem::path round_file;              ///< what the coordinator reads
  std::filesystem::path data;                    ///< folder of the token shards
  std::map<AccountId, std::string> owner_names;  ///< "node-1", "data", "design"
  std::string device;
  bool resumes = false;       ///< goes on with a demo that was stopped
  std::uint32_t joiners = 0;  ///< nodes that come on the way

  std::uint32_t nodes() const { return round.model.stages() * round.admission.replicas; }
};

/// `say` is told of every step that takes time. kInvalidArgument, kNotFound, kFailedPrecondition:
/// bad input, nothing was changed.
Result<DemoPlan> set_up_demo(const DemoCommand& command, std::FILE* say);

}  // namespace coshard::cli
