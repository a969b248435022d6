// A member of a round that works and misbehaves: a whole node of ours on threads of the test's
// process, whose frames pass through a function that may add to them or replace them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "node/daemon/context.h"
#include "tests/support/round_fixture.h"

namespace coshard::test {

/// What leaves for `to` in place of `honest`, in order. Called on the node's cs-net.
using Mischief = std::function<std::vector<wire::Frame>(
    const crypto::Identity& self, const NodeId& to, const wire::Frame& honest)>;

class HostileNode {
 public:
  /// Joins the round, whose coordinator runs, as node `index` of `round`.
  HostileNode(const RoundFixture& round, std::size_t index, Mischief mischief);
  ~HostileNode();  ///< stops it wherever it is
  HostileNode(const HostileNode&) = delete;
  HostileNode& operator=(const HostileNode&) = delete;

  NodeId id() const { return context_->identity->node(); }
  /// Waits until it has left the round by itself.
  void join();
  /// After join().
  const node::NodeOutcome& outcome() const { return context_->net->outcome(); }

 private:
  std::unique_ptr<node::NodeContext> context_;
  std::thread net_;
};

}  // namespace coshard::test
