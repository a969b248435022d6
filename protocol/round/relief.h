// Who is relieved of what: units at a node that has become slow, which the others of its stage
// would be through with much sooner. Only asked for: a node gives back what is not on its way into
// its sum, and only what it says that it gave back is done by somebody else (design 3.3), since
// nothing can be taken out of a sum. Pure; owner: the coordinator.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "protocol/round/repair.h"

namespace coshard::round {

struct Relief {
  NodeId node;
  MicrobatchIndex microbatch;
  Attempt attempt;
  bool operator==(const Relief&) const = default;
};

/// What `live` had better give back, by what each says that it holds and how long a unit takes it
/// now: the least advanced units of whoever would be through last, while others would be through
/// with them in less than half his time. Who has not said how fast he is gives nothing back, and
/// counts as fast as his stage's others.
std::vector<Relief> plan_relief(const std::vector<Witness>& live);

}  // namespace coshard::round
