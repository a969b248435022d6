// What the daemons take from the world besides their files: time and a transport. main() gives them
// the real ones; a swarm of whole nodes in one thread (tests/swarm) gives them virtual ones.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>

#include "protocol/base/clock.h"
#include "protocol/transport/zmq_transport.h"

namespace coshard::node {

/// Called on cs-net, once; what it is given outlives the transport.
using MakeTransport = std::function<Result<std::unique_ptr<transport::Transport>>(
    transport::Reactor&, const crypto::Identity&, const transport::ZmqOptions&)>;

struct World {
  const Clock& clock;  ///< outlives everything that is opened in this world
  MakeTransport make_transport;
};

/// The machine's clocks and ZeroMQ.
inline World real_world() {
  static const SystemClock kClock;
  return {kClock, transport::make_zmq_transport};
}

}  // namespace coshard::node
