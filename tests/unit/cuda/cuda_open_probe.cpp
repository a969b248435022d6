// Opens libraries one after the other, the CUDA module last, and says as one JSON line what that
// cost and what the module answered: a program of its own, because opening happens once per
// process.
// SPDX-License-Identifier: Apache-2.0
#include <dlfcn.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>

#include "shard/engine/device.h"

namespace {

long resident_kib() {
  std::ifstream statm("/proc/self/statm");
  long all = 0, resident = 0;
  statm >> all >> resident;
  return resident * (::sysconf(_SC_PAGESIZE) / 1024);
}

}  // namespace

int main(int argc, char** argv) {
  using coshard::shard::DeviceModule;
  void* library = nullptr;
  std::printf("{\"opened\":[");
  for (int i = 1; i < argc; ++i) {
    const long before = resident_kib();
    const auto start = std::chrono::steady_clock::now();
    library = ::dlopen(argv[i], RTLD_NOW | RTLD_GLOBAL);
    if (library == nullptr) {
      std::fprintf(stderr, "%s\n", ::dlerror());
      return 1;
    }
    const std::chrono::duration<double, std::milli> spent =
        std::chrono::steady_clock::now() - start;
    std::printf("%s{\"ms\":%.1f,\"mib\":%.1f}", i > 1 ? "," : "", spent.count(),
                static_cast<double>(resident_kib() - before) / 1024);
  }
  const auto entry = library == nullptr ? nullptr
                                        : reinterpret_cast<DeviceModule* (*)()>(::dlsym(
                                              library, coshard::shard::kDeviceModuleSymbol));
  if (entry == nullptr) return 1;
  DeviceModule* const module = entry();
  const auto kernels = module->open(0);
  std::printf("],\"abi\":%u,\"devices\":%d,\"why\":\"%s\",\"open\":\"%s\"}\n", module->abi(),
              module->device_count(), module->why_no_device().c_str(),
              kernels ? (*kernels)->properties().name.c_str() : kernels.error().message.c_str());
  return 0;
}
