// Questions to a coordinator over HTTP. Blocking, with a limit; home thread: main.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>

#include "protocol/base/error.h"

namespace coshard::cli {

inline constexpr std::chrono::milliseconds kHttpTimeout{3000};
inline constexpr std::size_t kHttpBodyBytesMax = std::size_t{8} << 20;

struct HttpAnswer {
  int status = 0;
  std::string body;
};

/// `base` is "http://HOST:PORT". kInvalidArgument for another scheme, kUnavailable naming the
/// address when nobody answers, kResourceExhausted over kHttpBodyBytesMax.
Result<HttpAnswer> http_get(const std::string& base, const std::string& path);
/// The same with a body and "Authorization: Bearer TOKEN".
Result<HttpAnswer> http_post(const std::string& base, const std::string& path,
                             const std::string& token, const std::string& body = "");

}  // namespace coshard::cli
