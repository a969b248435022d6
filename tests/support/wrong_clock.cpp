// A machine whose clock was never set, for programs that are started with this library preloaded:
// it shows the time since 1970 as if that were when the machine was switched on.
// SPDX-License-Identifier: Apache-2.0
#include <dlfcn.h>
#include <time.h>

extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
  using Function = int (*)(clockid_t, timespec*);
  static const auto real = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "clock_gettime"));
  return real(clock == CLOCK_REALTIME ? CLOCK_BOOTTIME : clock, time);
}
