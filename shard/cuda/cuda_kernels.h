// DeviceKernels on one CUDA device: guard, streams, page-locked staging. Home thread: cs-engine,
// the thread that opened it. A CUDA failure is thrown as c10::Error, like ATen's own, and stops
// where those stop (engine/torch_engine.cpp).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAStream.h>

#include <array>

#include "protocol/base/thread_role.h"
#include "shard/cuda/kernels.h"
#include "shard/cuda/staged_copy.h"
#include "shard/engine/device.h"

namespace coshard::shard::cuda {

/// Two streams: the compute stream, which the constructor makes the calling thread's current one,
/// so that ATen and our kernels share it; and the copy stream, which never waits behind a kernel
/// that was enqueued after the copy.
class CudaKernels final : public DeviceKernels {
 public:
  explicit CudaKernels(c10::DeviceIndex index);

  DeviceProperties properties() const override;
  void adamw_update(const UpdateSlice& slice, const CommitScalars& scalars) override;
  void reduce_in_order(float* out, std::span<const float* const> contributions, std::uint64_t count,
                       float scale) override;
  double squared_norm(const float* values, std::uint64_t count) override;
  FingerprintLanes fingerprint(const FingerprintKey& key, std::uint64_t global_index,
                               const float* values, std::uint64_t count) override;
  void copy_to_host(void* host, const void* device, std::uint64_t bytes) override;
  void copy_to_device(void* device, const void* host, std::uint64_t bytes) override;

 private:
  /// Two 64-bit words that kernels leave their answer in, brought to the host; waits for the
  /// compute stream.
  std::array<std::uint64_t, 2> fetch_answer();
  /// The copy stream goes on only after everything on the compute stream so far.
  void order_copies_after_compute();
  std::byte* staging(const Piece& piece) const;

  ThreadRole home_;
  c10::DeviceIndex index_;
  c10::cuda::CUDAStream copy_stream_;
  at::cuda::CUDAEvent computed_;
  std::array<at::cuda::CUDAEvent, kPieceSlots> copied_;
  at::Tensor staging_;         // (kPieceSlots, kPieceBytes) bytes, page-locked
  at::Tensor answer_;          // (2,) int64, on the device
  at::Tensor answer_staging_;  // (2,) int64, page-locked
};

}  // namespace coshard::shard::cuda
