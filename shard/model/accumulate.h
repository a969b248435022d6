// Whether a backward pass counts: a stage that has taken a microbatch into its sum passes the
// gradient on for a neighbour's repair without counting it again (design 3.3). Torch-free; any
// thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace coshard::shard {

enum class Accumulate : std::uint8_t {
  kYes,  ///< parameter gradients are added to the stage's sum
  kNo,   ///< the gradient of the input alone, with the same bits; the sum stays as it is
};

}  // namespace coshard::shard
