// See nccl_collective.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/cuda/nccl_collective.h"

#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <string>

#include "protocol/base/check.h"

namespace coshard::shard::cuda {
namespace {

Result<void> checked(ncclResult_t result, const char* what) {
  if (result == ncclSuccess) return {};
  // The last error names the call under NCCL that failed; a null communicator asks for any.
  return fail(ErrorCode::kUnavailable, std::string("NCCL: ") + what + ": " +
                                           ncclGetErrorString(result) + ": " +
                                           ncclGetLastError(nullptr));
}

}  // namespace

Result<std::unique_ptr<Collective>> NcclCollective::create(std::span<const int> devices) {
  std::unique_ptr<NcclCollective> out(new NcclCollective(devices));
  std::vector<ncclComm_t> communicators(devices.size());
  COSHARD_TRY(checked(ncclCommInitAll(communicators.data(), out->ranks(), out->devices_.data()),
                      "making communicators"));
  out->communicators_ = std::move(communicators);
  return out;
}

NcclCollective::~NcclCollective() {
  for (const ncclComm_t communicator : communicators_) ncclCommDestroy(communicator);
}

Result<void> NcclCollective::all_reduce_sum(std::span<float* const> buffers, std::uint64_t count) {
  COSHARD_ON(home_);
  COSHARD_CHECK_OP(buffers.size(), ==, devices_.size());
  if (count == 0) return {};
  // A group: otherwise the first rank's call would wait for the others, which this thread has still
  // to make. An error inside still has to end the group.
  COSHARD_TRY(checked(ncclGroupStart(), "opening the group"));
  ncclResult_t first_error = ncclSuccess;
  for (std::size_t rank = 0; rank < devices_.size() && first_error == ncclSuccess; ++rank) {
    const auto device = static_cast<c10::DeviceIndex>(devices_[rank]);
    const c10::cuda::CUDAGuard guard(device);
    first_error =
        ncclAllReduce(buffers[rank], buffers[rank], count, ncclFloat, ncclSum, communicators_[rank],
                      c10::cuda::getCurrentCUDAStream(device).stream());
  }
  const ncclResult_t ended = ncclGroupEnd();
  return checked(first_error != ncclSuccess ? first_error : ended, "adding over devices");
}

}  // namespace coshard::shard::cuda
