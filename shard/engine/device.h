// Which device an engine computes on, and the few operations that ATen does not give bit for bit:
// the optimizer's update, norms, averages in replica order, digests. The CPU's are in this folder;
// the GPU's come from libcoshard_cuda.so, opened at run time *before the first torch call* (ATen
// caches its CUDA hooks at first use). Torch-free. open_device: main, once; the operations:
// cs-engine.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "protocol/base/commit_scalars.h"
#include "protocol/base/error.h"
#include "shard/collective/collective.h"
#include "shard/numeric/fingerprint.h"

namespace coshard::shard {

enum class DeviceKind : std::uint8_t { kCpu, kCuda };

struct Device {
  DeviceKind kind = DeviceKind::kCpu;
  int index = 0;  ///< among the CUDA devices of the box

  bool operator==(const Device&) const = default;
};

struct DeviceProperties {
  std::string name;
  std::uint64_t memory_bytes = 0;  ///< all of it; 0 where unknown
  bool bf16 = false;               ///< matrix products in bf16 are fast
};

/// One parameter's slice of the four flat fp32 arrays that an update touches: same length, on the
/// operations' device.
struct UpdateSlice {
  float* weight = nullptr;
  float* first_moment = nullptr;
  float* second_moment = nullptr;
  const float* average = nullptr;
  std::uint64_t count = 0;
  bool decayed = false;  ///< matrices are, norm gains are not
};

/// Operations with one right answer, the same bits on every device (design 3.2). Pointers are to
/// memory of the device given at creation; work is ordered with what torch enqueued before and
/// after (same stream); functions that return a number wait for it.
class DeviceKernels {
 public:
  virtual ~DeviceKernels() = default;

  virtual DeviceProperties properties() const = 0;

  /// The AdamW of protocol/base/commit_scalars.h; arithmetic: shard/numeric/adamw.h.
  virtual void adamw_update(const UpdateSlice& slice, const CommitScalars& scalars) = 0;

  /// out[i] = (contributions[0][i] + contributions[1][i] + …) * scale, in that order, in fp32;
  /// arithmetic: shard/numeric/reduce.h. `out` may be the first contribution.
  virtual void reduce_in_order(float* out, std::span<const float* const> contributions,
                               std::uint64_t count, float scale) = 0;

  /// Sum of squares in double, in the fixed order of shard/numeric/squared_norm.h. Inf or NaN when
  /// an element is not finite.
  virtual double squared_norm(const float* values, std::uint64_t count) = 0;

  /// Partial digest of one whole parameter with that global index; arithmetic:
  /// shard/numeric/fingerprint.h.
  virtual FingerprintLanes fingerprint(const FingerprintKey& key, std::uint64_t global_index,
                                       const float* values, std::uint64_t count) = 0;

  /// Between host memory and the device; complete on return.
  virtual void copy_to_host(void* host, const void* device, std::uint64_t bytes) = 0;
  virtual void copy_to_device(void* device, const void* host, std::uint64_t bytes) = 0;
};

/// The plain implementations, on host memory. Never fails; static life.
DeviceKernels& cpu_kernels();

/// What libcoshard_cuda.so exports under the name kDeviceModuleSymbol, as
/// `extern "C" coshard::shard::DeviceModule* coshard_device_module()`.
class DeviceModule {
 public:
  virtual ~DeviceModule() = default;
  /// kDeviceModuleAbi of the headers that it was built from.
  virtual std::uint32_t abi() const = 0;
  virtual int device_count() const = 0;
  /// Why device_count() is 0, in words for a person.
  virtual std::string why_no_device() const = 0;
  /// Makes `index` the calling thread's device; its operations. The module keeps them.
  virtual Result<DeviceKernels*> open(int index) = 0;
  /// Sums among several distinct devices of this box, rank r being devices[r]; see
  /// collective/collective.h. kFailedPrecondition without devices, kInvalidArgument for one that is
  /// not there or named twice, kUnavailable when they cannot be joined.
  virtual Result<std::unique_ptr<Collective>> make_collective(std::span<const int> devices) = 0;
};
inline constexpr std::uint32_t kDeviceModuleAbi = 2;
inline constexpr const char* kDeviceModuleSymbol = "coshard_device_module";
inline constexpr const char* kDeviceModuleFile = "libcoshard_cuda.so";

/// Opens the CUDA module: next to the running program, else by the loader's path. kNotFound when
/// there is no such file, kFailedPrecondition when it was built from other headers. Call before
/// any torch call; a second call returns the first answer.
Result<DeviceModule*> open_cuda_module(const std::filesystem::path& directory = {});

/// What `--device cpu|cuda|auto` means on this box: opens the module for the latter two. `auto`
/// falls back to the CPU; `cuda` says what is missing.
Result<Device> choose_device(const std::string& wish);

/// The operations of a device that was chosen before.
Result<DeviceKernels*> kernels_of(const Device& device);

}  // namespace coshard::shard
