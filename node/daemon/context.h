// Everything coshard-node owns, in the order in which it is opened; closed in reverse. No behaviour
// here but opening. Home: main. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "node/daemon/net_thread.h"
#include "node/daemon/options.h"

namespace coshard::node {

struct NodeContext {
  NodeOptions options;
  SystemClock clock;
  std::unique_ptr<crypto::Identity> identity;
  std::unique_ptr<transport::Reactor> reactor;
  std::unique_ptr<transport::Transport> transport;
  std::unique_ptr<EngineThread> engine;
  std::unique_ptr<NodeNet> net;
};

/// Checks and opens everything; starts no thread of ours. Chooses the device, before the first
/// torch call. The first thing that is wrong is the error, in one line.
Result<std::unique_ptr<NodeContext>> open_node(const NodeOptions& options);

}  // namespace coshard::node
