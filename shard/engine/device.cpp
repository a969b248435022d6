// See device.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/engine/device.h"

#include <dlfcn.h>

#include <mutex>

namespace coshard::shard {
namespace {

using ModuleEntry = DeviceModule* (*)();

std::filesystem::path program_directory() {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
}

Result<DeviceModule*> load_module(const std::filesystem::path& directory) {
  const std::filesystem::path beside =
      (directory.empty() ? program_directory() : directory) / kDeviceModuleFile;
  // Global: the module's libtorch_cuda registers itself with the libtorch of this process.
  void* library = ::dlopen(beside.c_str(), RTLD_NOW | RTLD_GLOBAL);
  const std::string first_reason = library == nullptr ? ::dlerror() : "";
  if (library == nullptr && directory.empty())
    library = ::dlopen(kDeviceModuleFile, RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr)
    return fail(ErrorCode::kNotFound, std::string("CUDA module: expected ") + beside.string() +
                                          ", which did not open: " + first_reason);
  const auto entry = reinterpret_cast<ModuleEntry>(::dlsym(library, kDeviceModuleSymbol));
  DeviceModule* module = entry == nullptr ? nullptr : entry();
  if (module == nullptr || module->abi() != kDeviceModuleAbi)
    return fail(ErrorCode::kFailedPrecondition,
                "CUDA module: " + beside.string() +
                    " was built from other sources than this program; build both anew");
  return module;
}

/// The one module of the process, once opened. Written by main before any engine exists.
Result<DeviceModule*>& opened_module() {
  static Result<DeviceModule*> module =
      fail(ErrorCode::kFailedPrecondition,
           "CUDA device: the CUDA module was not opened when the program started");
  return module;
}

}  // namespace

Result<DeviceModule*> open_cuda_module(const std::filesystem::path& directory) {
  static std::once_flag once;
  std::call_once(once, [&] { opened_module() = load_module(directory); });
  return opened_module();
}

Result<Device> choose_device(const std::string& wish) {
  if (wish == "cpu") return Device{};
  if (wish != "cuda" && wish != "auto")
    return fail(ErrorCode::kInvalidArgument,
                "device: expected cpu, cuda or auto; found \"" + wish + "\"");
  const auto module = open_cuda_module();
  if (module && (*module)->device_count() > 0) return Device{DeviceKind::kCuda, 0};
  if (wish == "auto") return Device{};
  constexpr const char* kRemedy = "; --device cpu trains without one";
  if (!module) return fail(module.error().code, module.error().message + kRemedy);
  return fail(ErrorCode::kNotFound, "device cuda: " + (*module)->why_no_device() + kRemedy);
}

Result<DeviceKernels*> kernels_of(const Device& device) {
  if (device.kind == DeviceKind::kCpu) return &cpu_kernels();
  COSHARD_ASSIGN(DeviceModule* const module, opened_module());
  return module->open(device.index);
}

}  // namespace coshard::shard
