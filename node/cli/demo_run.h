// The processes of a demo, from start to end. Home thread: main.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <optional>
#include <string>

#include "node/cli/demo_setup.h"
#include "node/round_status.h"

namespace coshard::cli {

struct DemoEnd {
  enum class Kind {
    kFinished,     ///< every process ended well
    kInterrupted,  ///< the operator stopped it
    kFailed,       ///< `report` says what happened
  };
  Kind kind = Kind::kFailed;
  std::string report;                     ///< whole lines, with the end of a log
  std::optional<node::RoundStatus> last;  ///< the coordinator's last answer
  std::uint64_t kills = 0;                ///< nodes that were killed or frozen
};

/// Starts coordinator and nodes, disturbs those of `disturbances` on the way, shows progress on
/// `say` and returns when all of them have ended: a Ctrl-C stops them in order (a second one at
/// once). Every process's output is in DIR/logs.
DemoEnd run_demo_processes(const DemoPlan& plan, std::vector<Disturbance> disturbances,
                           std::FILE* say);

}  // namespace coshard::cli
