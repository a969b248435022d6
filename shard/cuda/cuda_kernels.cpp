// See cuda_kernels.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/cuda/cuda_kernels.h"

#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>

#include <bit>
#include <cstring>

#include "protocol/base/check.h"
#include "protocol/base/limits.h"

namespace coshard::shard::cuda {
namespace {

Stream current_stream(c10::DeviceIndex index) {
  return c10::cuda::getCurrentCUDAStream(index).stream();
}

}  // namespace

CudaKernels::CudaKernels(c10::DeviceIndex index)
    : index_(index), copy_stream_(c10::cuda::getStreamFromPool(/*isHighPriority=*/true, index)) {
  c10::cuda::set_device(index);
  c10::cuda::setCurrentCUDAStream(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, index));
  const auto words = at::TensorOptions().dtype(at::kLong);
  answer_ = at::zeros({2}, words.device(at::kCUDA, index));
  answer_staging_ = at::empty({2}, words.pinned_memory(true));
  staging_ = at::empty({static_cast<std::int64_t>(kPieceSlots * kPieceBytes)},
                       at::TensorOptions().dtype(at::kByte).pinned_memory(true));
}

DeviceProperties CudaKernels::properties() const {
  const cudaDeviceProp& device = *at::cuda::getDeviceProperties(index_);
  return {.name = device.name, .memory_bytes = device.totalGlobalMem, .bf16 = device.major >= 8};
}

void CudaKernels::adamw_update(const UpdateSlice& slice, const CommitScalars& scalars) {
  COSHARD_ON(home_);
  if (scalars.skip || slice.count == 0) return;
  const c10::cuda::CUDAGuard guard(index_);
  launch_adamw({slice.weight, slice.first_moment, slice.second_moment, slice.average, slice.count},
               adamw_scalars(scalars, slice.decayed), current_stream(index_));
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

void CudaKernels::reduce_in_order(float* out, std::span<const float* const> contributions,
                                  std::uint64_t count, float scale) {
  COSHARD_ON(home_);
  COSHARD_CHECK(!contributions.empty());
  COSHARD_CHECK_OP(contributions.size(), <=, limits::kReplicasMax);
  if (count == 0) return;
  const c10::cuda::CUDAGuard guard(index_);
  launch_reduce(out, contributions, count, scale, current_stream(index_));
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

double CudaKernels::squared_norm(const float* values, std::uint64_t count) {
  COSHARD_ON(home_);
  const c10::cuda::CUDAGuard guard(index_);
  launch_squared_norm(static_cast<double*>(answer_.data_ptr()), values, count,
                      current_stream(index_));
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return std::bit_cast<double>(fetch_answer()[0]);
}

FingerprintLanes CudaKernels::fingerprint(const FingerprintKey& key, std::uint64_t global_index,
                                          const float* values, std::uint64_t count) {
  COSHARD_ON(home_);
  if (count == 0) return {};
  const c10::cuda::CUDAGuard guard(index_);
  answer_.zero_();
  launch_fingerprint(static_cast<std::uint64_t*>(answer_.data_ptr()), {values, count, global_index},
                     key, current_stream(index_));
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  const auto [a, b] = fetch_answer();
  return {a, b};
}

std::array<std::uint64_t, 2> CudaKernels::fetch_answer() {
  std::array<std::uint64_t, 2> words{};
  const Stream stream = current_stream(index_);
  C10_CUDA_CHECK(cudaMemcpyAsync(answer_staging_.data_ptr(), answer_.data_ptr(), sizeof words,
                                 cudaMemcpyDeviceToHost, stream));
  C10_CUDA_CHECK(cudaStreamSynchronize(stream));
  std::memcpy(words.data(), answer_staging_.data_ptr(), sizeof words);
  return words;
}

void CudaKernels::order_copies_after_compute() {
  computed_.record(c10::cuda::getCurrentCUDAStream(index_));
  computed_.block(copy_stream_);
}

std::byte* CudaKernels::staging(const Piece& piece) const {
  return static_cast<std::byte*>(staging_.data_ptr()) + piece.slot * kPieceBytes;
}

void CudaKernels::copy_to_host(void* host, const void* device, std::uint64_t bytes) {
  COSHARD_ON(home_);
  const c10::cuda::CUDAGuard guard(index_);
  order_copies_after_compute();
  const auto* from = static_cast<const std::byte*>(device);
  auto* to = static_cast<std::byte*>(host);
  for_each_piece(
      bytes, kPieceBytes,
      [&](const Piece& piece) {
        C10_CUDA_CHECK(cudaMemcpyAsync(staging(piece), from + piece.offset, piece.bytes,
                                       cudaMemcpyDeviceToHost, copy_stream_));
        copied_[piece.slot].record(copy_stream_);
      },
      [&](const Piece& piece) {
        copied_[piece.slot].synchronize();
        std::memcpy(to + piece.offset, staging(piece), piece.bytes);
      });
}

void CudaKernels::copy_to_device(void* device, const void* host, std::uint64_t bytes) {
  COSHARD_ON(home_);
  const c10::cuda::CUDAGuard guard(index_);
  order_copies_after_compute();  // Whoever still reads the destination reads it before.
  const auto* from = static_cast<const std::byte*>(host);
  auto* to = static_cast<std::byte*>(device);
  for_each_piece(
      bytes, kPieceBytes,
      [&](const Piece& piece) {
        std::memcpy(staging(piece), from + piece.offset, piece.bytes);
        C10_CUDA_CHECK(cudaMemcpyAsync(to + piece.offset, staging(piece), piece.bytes,
                                       cudaMemcpyHostToDevice, copy_stream_));
        copied_[piece.slot].record(copy_stream_);
      },
      [&](const Piece& piece) { copied_[piece.slot].synchronize(); });
}

}  // namespace coshard::shard::cuda
