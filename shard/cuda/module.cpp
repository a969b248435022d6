// What libcoshard_cuda.so exports: the DeviceModule of engine/device.h. Never crashes on a box
// without a GPU or a driver: that is an answer. Exceptions of ATen stop here at start-up.
// SPDX-License-Identifier: Apache-2.0
#include <ATen/Context.h>
#include <c10/cuda/CUDAFunctions.h>
#include <cuda_runtime_api.h>

#include <map>
#include <memory>
#include <set>

#include "shard/cuda/cuda_kernels.h"
#include "shard/cuda/nccl_collective.h"
#include "shard/engine/device.h"

namespace coshard::shard::cuda {
namespace {

/// Why the driver counts no device, in words for a person.
std::string reason(cudaError_t found) {
  int driver = 0;
  if (cudaDriverGetVersion(&driver) == cudaSuccess && driver == 0)
    return "there is no NVIDIA driver on this box";
  return found == cudaSuccess ? "the driver lists none" : cudaGetErrorString(found);
}

class CudaModule final : public DeviceModule {
 public:
  CudaModule() {
    const cudaError_t found = cudaGetDeviceCount(&devices_);
    if (found == cudaSuccess && devices_ > 0) return;
    devices_ = 0;
    static_cast<void>(cudaGetLastError());  // Answered: a later launch check must not see it.
    why_ = "no CUDA device was found: " + reason(found);
  }

  std::uint32_t abi() const override { return kDeviceModuleAbi; }
  int device_count() const override { return devices_; }
  std::string why_no_device() const override { return why_; }

  Result<DeviceKernels*> open(int index) override {
    COSHARD_TRY(check_exists(index));
    try {
      const auto device = static_cast<c10::DeviceIndex>(index);
      std::unique_ptr<CudaKernels>& kernels = opened_[device];
      if (!kernels) {
        set_precision();
        kernels = std::make_unique<CudaKernels>(device);
      }
      c10::cuda::set_device(device);
      return kernels.get();
    } catch (const std::exception& error) {
      return fail(ErrorCode::kUnavailable,
                  "CUDA device " + std::to_string(index) + " did not open: " + error.what());
    }
  }

  Result<std::unique_ptr<Collective>> make_collective(std::span<const int> devices) override {
    COSHARD_TRY(check_exists(devices.empty() ? -1 : devices[0]));
    std::set<int> distinct;
    for (const int device : devices) {
      COSHARD_TRY(check_exists(device));
      if (!distinct.insert(device).second)
        return fail(ErrorCode::kInvalidArgument,
                    "CUDA device " + std::to_string(device) + " was named twice");
    }
    return NcclCollective::create(devices);
  }

 private:
  Result<void> check_exists(int index) const {
    if (devices_ == 0) return fail(ErrorCode::kFailedPrecondition, why_);
    if (index >= 0 && index < devices_) return {};
    return fail(ErrorCode::kInvalidArgument, "a CUDA device from 0 to " +
                                                 std::to_string(devices_ - 1) +
                                                 " was expected, found " + std::to_string(index));
  }

  /// fp32 means fp32 (no TF32), and sums of bf16 products are kept in fp32 to the end.
  static void set_precision() {
    at::globalContext().setFloat32MatmulPrecision("highest");
    at::globalContext().setAllowTF32CuDNN(false);
    at::globalContext().setAllowBF16ReductionCuBLAS(/*allow_reduced_precision=*/false);
  }

  int devices_ = 0;
  std::string why_;
  std::map<c10::DeviceIndex, std::unique_ptr<CudaKernels>> opened_;
};

}  // namespace
}  // namespace coshard::shard::cuda

extern "C" __attribute__((visibility("default"))) coshard::shard::DeviceModule*
coshard_device_module() {
  // Never destroyed: the driver may be gone before static destructors run.
  static auto* const module = new coshard::shard::cuda::CudaModule;
  return module;
}
