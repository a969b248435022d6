// What a stage accepts from a neighbour, checked before a tensor is made of it: shape, dtype, size,
// finite values of a believable size, tokens below the vocabulary. Torch-free, pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "protocol/base/error.h"
#include "protocol/base/tensor_blob.h"
#include "shard/data/token_batch.h"
#include "shard/plan/spec.h"

namespace coshard::shard {

/// Boundary activations and gradients: (sequences, tokens, hidden), fp32, not encoded. `what` names
/// the blob in the message. kInvalidArgument for every deviation.
Result<void> check_boundary(const ModelSpec& spec, const TensorBlob& blob, std::string_view what);

/// One side of a batch: `tokens` has sequences * length entries, each in [0, vocab).
Result<void> check_tokens(const ModelSpec& spec, const TokenBatch& batch,
                          const std::vector<std::int32_t>& tokens, std::string_view what);

/// kInvalidArgument unless all fp32 values are finite with a root mean square of at most
/// limits::kBoundaryRmsMax.
Result<void> check_values(ByteView fp32, std::string_view what);

}  // namespace coshard::shard
