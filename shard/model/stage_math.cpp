// See stage_math.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/model/stage_math.h"

#include <ATen/ATen.h>

#include <cmath>
#include <set>

#include "protocol/base/check.h"

namespace coshard::shard {

at::Tensor SavedTensors::pop() {
  COSHARD_CHECK(!tensors_.empty());
  at::Tensor tensor = std::move(tensors_.back());
  tensors_.pop_back();
  return tensor;
}

std::uint64_t SavedTensors::bytes() const {
  std::set<const void*> seen;
  std::uint64_t bytes = 0;
  for (const at::Tensor& tensor : tensors_) {
    const c10::Storage& storage = tensor.storage();
    if (seen.insert(storage.unsafeGetStorageImpl()).second) bytes += storage.nbytes();
  }
  return bytes;
}

RopeTensors rope_tensors(const ModelSpec& spec, at::Device device) {
  const std::int64_t half = spec.head_dim() / 2;
  at::Tensor cosines = at::empty({spec.sequence, half}, at::kFloat);
  at::Tensor sines = at::empty_like(cosines);
  float* cosine = cosines.mutable_data_ptr<float>();
  float* sine = sines.mutable_data_ptr<float>();
  for (std::int64_t position = 0; position < spec.sequence; ++position) {
    for (std::int64_t j = 0; j < half; ++j) {
      const float exponent = static_cast<float>(2 * j) / static_cast<float>(2 * half);
      const float frequency = 1.0F / static_cast<float>(std::pow(spec.rope_theta, exponent));
      const double angle = static_cast<double>(static_cast<float>(position) * frequency);
      *cosine++ = static_cast<float>(std::cos(angle));
      *sine++ = static_cast<float>(std::sin(angle));
    }
  }
  return {cosines.to(device), sines.to(device)};
}

}  // namespace coshard::shard
