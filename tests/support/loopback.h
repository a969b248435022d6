// The address of a port on this machine, for tests that open sockets themselves. Any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <netinet/in.h>

#include <cstdint>

namespace coshard::test {

/// 127.0.0.1:`port`; port 0 lets the kernel choose.
inline sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

}  // namespace coshard::test
