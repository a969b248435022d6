// Frames over ZeroMQ: one listening ROUTER and one DEALER per dialled peer, all over CURVE, all on
// the reactor's thread. A DEALER is one connection: when it ends, a new socket is made, so nothing
// of the old one can arrive on the new one. Wire form: protocol/README.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "crypto/identity.h"
#include "protocol/base/limits.h"
#include "protocol/transport/reactor.h"
#include "protocol/transport/transport.h"

namespace coshard::transport {

struct ZmqOptions {
  /// "tcp://0.0.0.0:4601"; port "*" lets the kernel choose; empty: dial only.
  std::string listen;
  Admission admission = Admission::kAllowList;
  /// Largest payload frame to carry: the coordinator, which never sees a tensor, takes
  /// limits::kControlPayloadBytesMax and so bounds what strangers can make it hold.
  std::size_t payload_bytes_max = limits::kPayloadBytesMax;
  std::size_t bytes_in_flight_max = limits::kBytesInFlightMax;  ///< per peer
  int io_threads = 1;  ///< libzmq encrypts on these: one core of CURVE each
};

/// Binds and starts to answer handshakes on the next turns of `reactor`. `identity` and `reactor`
/// outlive the transport. kUnavailable: the address is taken; kInvalidArgument: it is none.
Result<std::unique_ptr<Transport>> make_zmq_transport(Reactor& reactor,
                                                      const crypto::Identity& identity,
                                                      const ZmqOptions& options);

}  // namespace coshard::transport
