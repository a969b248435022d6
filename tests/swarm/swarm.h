// A whole coordinator and whole nodes (real engine, courier, receipts, journal, ledger,
// checkpoints: everything that the programs assemble but their main) in one process, over
// MemTransport.
//
// One thread and virtual time: nothing here is about threads (tests/process and the thread
// sanitizer are), and a swarm that one seed repeats can be debugged. The programs' own reactors run
// on the swarm's clock and are turned one after the other, a millisecond at a time; a node's engine
// does one job per millisecond, inline, so speed is virtual too; delays on the wires come from the
// seed, and so do keys and nonces. Two swarms with one seed therefore leave the same ledger, byte
// for byte.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "node/coordinator/context.h"
#include "node/daemon/context.h"
#include "protocol/transport/mem_transport.h"
#include "tests/support/round_fixture.h"
#include "tests/swarm/seeded_random.h"

namespace coshard::test {

class Swarm {
 public:
  Swarm(const TinyRound& round, std::uint64_t seed);
  ~Swarm();

  const RoundFolder& folder() const { return folder_; }
  TimePoint now() const { return clock_.now(); }

  /// Opens the coordinator and a node for every seat from what their folders hold: nothing at
  /// first; in a second swarm keys, journal, ledger and checkpoints of the one before.
  void start();
  /// Between two turns, as by kill -9: only its files stay.
  void kill(std::size_t node);
  /// As by kill -STOP: connections stay, but it neither reads nor speaks any more.
  void freeze(std::size_t node);
  /// A node of a new identity, beyond those that start() opens, or one that was killed: asks to be
  /// let in.
  void open(std::size_t node);
  /// Cuts or heals the wire between two nodes.
  void cut(const NodeId& a, const NodeId& b, bool cut) { network_.cut(a, b, cut); }

  /// Turns until `condition` holds; false when it does not after `limit` of virtual time.
  bool run_until(const std::function<bool()>& condition, Duration limit);
  /// Turns until every program that lives has come to its end, and closes it as its main does.
  bool run_to_end(Duration limit);

  const node::CoordinatorContext& coordinator() const { return *coordinator_; }
  /// Null once it was killed or frozen.
  const node::NodeContext* node(std::size_t index) const { return nodes_.at(index).get(); }
  StepId last_step() const { return coordinator_->net->status().last_step; }

 private:
  node::World world();
  void open_coordinator();
  std::unique_ptr<node::NodeContext> open_node(std::size_t index);
  static void come_again(node::NodeContext& node);
  void turn();
  bool is_over() const;

  const SeededRandom random_;
  RoundFolder folder_;
  ManualClock clock_;
  transport::MemNetwork network_;
  std::unique_ptr<node::CoordinatorContext> coordinator_;
  std::vector<std::unique_ptr<node::NodeContext>> nodes_;
  std::vector<std::unique_ptr<node::NodeContext>> frozen_;
};

}  // namespace coshard::test
