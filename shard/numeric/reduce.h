// The plain reduction of a gradient chunk: additions in one fixed order, so that whoever reduces
// gets the same bits. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "shard/numeric/exact_float.h"

namespace coshard::shard {

/// out[i] = ((c0[i] + c1[i]) + c2[i] + ...) * scale in fp32, each operation rounded once. `scale`
/// is 1 / target tokens of the step. At least one contribution; all have out's length; `out` may be
/// the first contribution itself but no other.
void sum_in_order(std::span<float> out, std::span<const std::span<const float>> contributions,
                  float scale);

}  // namespace coshard::shard
