// What crosses between stages, made smaller. A codec turns a dense fp32 boundary tensor into fewer
// bytes and back; its number travels in the blob (TensorBlob::encoding), any parameters of one
// tensor travel at the head of its bytes. dtype and shape of an encoded blob stay those of the
// tensor that it stands for. Torch-free; codecs are immutable: any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "protocol/base/error.h"
#include "protocol/base/tensor_blob.h"

namespace coshard::shard {

class BoundaryCodec {
 public:
  virtual ~BoundaryCodec() = default;

  virtual BoundaryEncoding encoding() const = 0;

  /// Bytes that encode() makes of that shape: known before a tensor is accepted. Nothing for a
  /// shape that has no size.
  virtual std::optional<std::uint64_t> encoded_bytes(const Shape& shape) const = 0;

  /// `dense` is ours: fp32, BoundaryEncoding::kNone, whole.
  virtual TensorBlob encode(const TensorBlob& dense) const = 0;

  /// `encoded` is a peer's. kInvalidArgument unless it is fp32, of this encoding, with exactly
  /// encoded_bytes(shape) bytes. Values are not judged here (engine/input_check.h does).
  virtual Result<TensorBlob> decode(const TensorBlob& encoded) const = 0;
};

/// The codec of that number; static life. kInvalidArgument for one that this build does not know.
Result<const BoundaryCodec*> boundary_codec(BoundaryEncoding encoding);

/// "none" or "bf16", as the round file says it. kInvalidArgument with the list otherwise.
Result<const BoundaryCodec*> boundary_codec(std::string_view name);

}  // namespace coshard::shard
