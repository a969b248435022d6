// TensorBlob and token vectors <-> at::Tensor: the one place where data changes device on its way
// in or out of the engine. Inputs have passed input_check.h. cs-engine.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include "protocol/base/tensor_blob.h"

namespace coshard::shard {

/// (rows, hidden) fp32 on `device` from a (sequences, tokens, hidden) blob. Always a copy: products
/// want 64-byte alignment, which received bytes do not have, for the same bits.
at::Tensor to_tensor(const TensorBlob& blob, at::Device device);

/// (count) int32 on `device`.
at::Tensor to_tensor(const std::vector<std::int32_t>& tokens, at::Device device);

/// fp32 blob of that shape with the tensor's values, from any device and float dtype.
TensorBlob to_blob(const at::Tensor& tensor, Shape shape);

/// `count` fp32 values of a flat vector from `offset`.
SharedBytes to_bytes(const at::Tensor& flat, std::int64_t offset, std::int64_t count);

}  // namespace coshard::shard
