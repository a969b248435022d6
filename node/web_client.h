// One question over HTTP or HTTPS and its answer: blocking, with a limit. Certificates are checked
// against the system's (or SSL_CERT_FILE). Any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <string>

#include "protocol/base/error.h"

namespace coshard::node {

struct WebAnswer {
  int status = 0;
  std::string body;
};

struct WebQuestion {
  std::string base;  ///< "http://HOST:PORT" or "https://HOST"
  std::string path;  ///< "/…"
  std::chrono::milliseconds timeout{3000};
  std::size_t body_bytes_max = std::size_t{8} << 20;  ///< of the answer
  std::string token = {};                             ///< "Authorization: Bearer", where given
};

/// kInvalidArgument for another scheme; kUnavailable naming the address when nobody answers or the
/// certificate is not one for it; kResourceExhausted for an answer that is too long.
Result<WebAnswer> web_get(const WebQuestion& question);
Result<WebAnswer> web_post(const WebQuestion& question, const std::string& body);

}  // namespace coshard::node
