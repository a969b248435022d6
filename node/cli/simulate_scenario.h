// From a round file and the flags of coshard simulate to what is simulated: what each stage costs,
// and which boxes hold it. Pure functions, any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "node/cli/command_line.h"
#include "node/round_file.h"
#include "protocol/sim/scenario.h"

namespace coshard::cli {

/// Costs are those of the engine: FLOPs as the ledger prices them (forward 2P + 4LHqT, backward
/// twice that, once more forward where activations are computed again), fp32 between stages and in
/// averages. kInvalidArgument when there are fewer boxes than stages, or more than a round takes.
Result<sim::Scenario> scenario_of(const node::RoundFile& round, const SimulateCommand& command);

}  // namespace coshard::cli
