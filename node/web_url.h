// Addresses of ledgers, coordinators and witnesses: http://HOST[:PORT][/PATH], or https. Pure; any
// thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "protocol/base/error.h"

namespace coshard::node {

struct WebUrl {
  std::string base;  ///< "https://host:port", as connections are opened
  std::string path;  ///< "" or "/…", without a slash at the end
};

/// True for a text that means an address, not a folder.
bool is_web_url(std::string_view text);

/// Where a program listens.
struct HostPort {
  std::string host;
  int port = 0;
};
/// "HOST:PORT"; kInvalidArgument saying what was expected.
Result<HostPort> parse_host_port(std::string_view text);

/// kInvalidArgument saying what was expected.
Result<WebUrl> parse_web_url(std::string_view text);

}  // namespace coshard::node
