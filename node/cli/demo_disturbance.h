// What a demo does to its own programs on the way (`--kill`, `--freeze`, `--join`), to show that
// the round goes on. Home thread: main.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/base/error.h"

namespace coshard::cli {

struct DemoSeat {
  std::uint32_t stage = 0;
  std::uint32_t replica = 0;
  bool operator==(const DemoSeat&) const = default;
};

struct Disturbance {
  enum class Kind : std::uint8_t {
    kKill = 0,    ///< SIGKILL; a coordinator is started again at once
    kFreeze = 1,  ///< SIGSTOP, and SIGCONT some seconds later
    kJoin = 2,    ///< a node of a new owner, for a seat that is free then or beyond the first ones
  };
  Kind kind = Kind::kKill;
  std::optional<DemoSeat> seat;  ///< none: the coordinator
  std::uint64_t step = 0;        ///< as soon as this step is committed
  bool operator==(const Disturbance&) const = default;
};

/// "STAGE:REPLICA@STEP", for example "1:0@20", or "coordinator@STEP" where nobody is to join.
/// kInvalidArgument says what was expected.
Result<Disturbance> parse_disturbance(Disturbance::Kind kind, std::string_view text);

/// What a disturbance is held against; `joins`: how many nodes come on the way.
struct DemoShape {
  std::uint32_t stages = 0, replicas = 0, joins = 0;
  std::uint64_t steps = 0;
};
/// kInvalidArgument when a round of this shape has no such stage, replica or step, or not enough
/// nodes come for such a seat.
Result<void> check_disturbance(const Disturbance& disturbance, const DemoShape& shape);

/// "1:0@20" or "coordinator@20".
std::string to_string(const Disturbance& disturbance);

}  // namespace coshard::cli
