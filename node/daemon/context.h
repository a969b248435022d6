// Everything coshard-node owns, in the order in which it is opened; closed in reverse. No behaviour
// here but opening.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "node/daemon/net_thread.h"
#include "node/daemon/options.h"
#include "node/world.h"

namespace coshard::node {

struct NodeContext {
  NodeContext(const NodeOptions& asked, World around) : options(asked), world(std::move(around)) {}

  const NodeOptions options;
  const World world;
  NodeSetup setup;
  std::unique_ptr<crypto::Identity> identity;
  std::unique_ptr<transport::Reactor> reactor;
  std::unique_ptr<transport::Transport> transport;
  std::unique_ptr<EngineThread> engine;
  std::unique_ptr<NodeNet> net;
  std::unique_ptr<BulkThread> writer;  ///< of checkpoints; its replies go to `net`
};

/// Checks what was asked and chooses the device, before the first torch call; starts no thread of
/// ours. The first thing that is wrong is the error, in one line. Main.
Result<std::unique_ptr<NodeContext>> open_node(const NodeOptions& options, World world);

/// As open_node left it, after a run: fresh threads and sockets under the same identity. Main, when
/// the threads of the run before are closed.
void renew_node(NodeContext& context);

/// Opens the sockets and asks to be let in. cs-net.
Result<void> open_network(NodeContext& context);

}  // namespace coshard::node
