// Assertions on our own code: compiled in always, also in release. Never used on a peer's or the
// world's input.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>

#ifdef NDEBUG
#error "coshard is never built with NDEBUG: its assertions are part of its safety"
#endif

namespace coshard::internal {

[[noreturn]] inline void check_failed(const char* file, int line, const char* expression,
                                      const std::string& values) {
  std::fprintf(stderr, "%s:%d: check failed: %s %s\n", file, line, expression, values.c_str());
  std::fflush(stderr);
  std::abort();
}

template <class T>
std::string show(const T& value) {
  if constexpr (requires(std::ostringstream& out) { out << value; }) {
    std::ostringstream out;
    out << value;
    return out.str();
  } else {
    return "?";
  }
}

}  // namespace coshard::internal

/// Aborts with file, line and the expression when `condition` is false.
#define COSHARD_CHECK(condition)                                             \
  do {                                                                       \
    if (!(condition)) [[unlikely]]                                           \
      ::coshard::internal::check_failed(__FILE__, __LINE__, #condition, ""); \
  } while (false)

/// Like COSHARD_CHECK, comparing two values and printing both: COSHARD_CHECK_OP(a, ==, b).
#define COSHARD_CHECK_OP(a, op, b)                                                                 \
  do {                                                                                             \
    const auto coshard_a = (a);                                                                    \
    const auto coshard_b = (b);                                                                    \
    if (!(coshard_a op coshard_b)) [[unlikely]]                                                    \
      ::coshard::internal::check_failed(__FILE__, __LINE__, #a " " #op " " #b,                     \
                                        "(" + ::coshard::internal::show(coshard_a) + " against " + \
                                            ::coshard::internal::show(coshard_b) + ")");           \
  } while (false)

#define COSHARD_UNREACHABLE() \
  ::coshard::internal::check_failed(__FILE__, __LINE__, "unreachable code was reached", "")
