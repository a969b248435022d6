// Names for the nodes of round's tests.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "protocol/base/ids.h"

namespace coshard::round {

inline NodeId node(std::uint32_t number) {
  NodeId id;
  id.bytes[0] = static_cast<std::uint8_t>(number >> 8);
  id.bytes[1] = static_cast<std::uint8_t>(number);
  id.bytes[31] = 1;
  return id;
}

inline Unit unit(std::uint64_t step, std::uint32_t microbatch, std::uint32_t stage) {
  return {StepId(step), MicrobatchIndex(microbatch), StageIndex(stage), Attempt(0)};
}

}  // namespace coshard::round
