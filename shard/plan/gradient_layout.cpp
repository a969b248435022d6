// See gradient_layout.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/plan/gradient_layout.h"

#include <algorithm>

#include "protocol/base/check.h"

namespace coshard::shard {

std::vector<GradientChunk> gradient_layout(std::span<const ParameterSpec> stage_parameters,
                                           std::uint64_t chunk_elements) {
  COSHARD_CHECK_OP(chunk_elements, >, 0u);
  std::vector<GradientChunk> chunks;
  for (std::uint32_t index = 0; index < stage_parameters.size(); ++index) {
    const ParameterSpec& parameter = stage_parameters[index];
    for (std::uint64_t done = 0; done < parameter.elements; done += chunk_elements)
      chunks.push_back(
          {index, parameter.offset + done, std::min(chunk_elements, parameter.elements - done)});
  }
  return chunks;
}

}  // namespace coshard::shard
