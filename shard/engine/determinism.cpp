// See determinism.h. SPDX-License-Identifier: Apache-2.0
#include "shard/engine/determinism.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <mutex>

namespace coshard::shard {

void settle_torch(int threads) {
  static std::once_flag once;
  std::call_once(once, [threads] {
    at::set_num_threads(threads);
    at::globalContext().setFlushDenormal(false);
    at::globalContext().setBenchmarkCuDNN(false);
    at::globalContext().setDeterministicCuDNN(true);
  });
}

}  // namespace coshard::shard
