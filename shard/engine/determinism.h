// Process-wide settings of libtorch that results depend on: set once, before the first tensor.
// main or cs-engine, whichever comes first.
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace coshard::shard {

/// Sizes libtorch's pool, keeps subnormals and full fp32 products. Only the first call has an
/// effect: pools cannot be resized safely once used.
void settle_torch(int threads);

}  // namespace coshard::shard
