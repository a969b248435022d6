// See blob_convert.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/engine/blob_convert.h"

#include <ATen/ATen.h>

#include <cstring>

#include "protocol/base/check.h"

namespace coshard::shard {
namespace {

/// The tensor's bytes in host memory, contiguous; no copy where it lies there already.
at::Tensor on_host(const at::Tensor& tensor) {
  return tensor.to(at::kFloat).to(at::kCPU).contiguous();
}

SharedBytes copy_bytes(const at::Tensor& host) {
  const auto* begin = static_cast<const std::uint8_t*>(host.const_data_ptr());
  return share(Bytes(begin, begin + host.nbytes()));
}

}  // namespace

at::Tensor to_tensor(const TensorBlob& blob, at::Device device) {
  at::Tensor host = at::empty({blob.shape.at(0) * blob.shape.at(1), blob.shape.at(2)}, at::kFloat);
  COSHARD_CHECK_OP(host.nbytes(), ==, blob.view().size());
  std::memcpy(host.mutable_data_ptr(), blob.view().data(), host.nbytes());
  return host.to(device);
}

at::Tensor to_tensor(const std::vector<std::int32_t>& tokens, at::Device device) {
  at::Tensor host = at::empty({static_cast<std::int64_t>(tokens.size())}, at::kInt);
  std::memcpy(host.mutable_data_ptr(), tokens.data(), host.nbytes());
  return host.to(device);
}

TensorBlob to_blob(const at::Tensor& tensor, Shape shape) {
  const at::Tensor host = on_host(tensor);
  const std::uint64_t bytes = dense_bytes(DType::kF32, shape).value_or(0);
  COSHARD_CHECK_OP(bytes, ==, host.nbytes());
  return {DType::kF32, BoundaryEncoding::kNone, std::move(shape), copy_bytes(host)};
}

SharedBytes to_bytes(const at::Tensor& flat, std::int64_t offset, std::int64_t count) {
  return copy_bytes(on_host(flat.narrow(0, offset, count)));
}

}  // namespace coshard::shard
