// A node of a round whose links go through fault proxies. Of two nodes the one with the smaller id
// dials, so ids decide which links a proxy in front of one node carries: all of them where its id
// is the largest, that with one other node where they are the two smallest. One thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <vector>

#include "tests/support/fault_proxy.h"
#include "tests/support/round_fixture.h"

namespace coshard::test {

/// Makes the keys of all nodes of `round`, before anything is started: those of `smallest` get the
/// smallest ids, in this order, the others get larger ones, that of the last node the largest.
void write_keys(const RoundFixture& round, const std::vector<std::size_t>& smallest);

class BadLinks {
 public:
  /// The coordinator of `round` runs.
  explicit BadLinks(const RoundFixture& round);

  /// What the node is started with so that whoever dials it, and it the coordinator, meets a proxy.
  Handicap handicap() const;

  /// What leaves the node, and what comes to it: over the links that other nodes dialled, and over
  /// that with the coordinator.
  void set_peers(const LinkFaults& out, const LinkFaults& in);
  void set_home(const LinkFaults& out, const LinkFaults& in);
  /// Until a message has been torn on its way to or from a peer; false when none was in `limit`.
  bool wait_for_torn(std::chrono::milliseconds limit) const;
  /// What is open to peers ends by RST.
  void reset_peers();
  /// Over all of them.
  FaultProxy::Counters counters() const;

 private:
  const RoundFixture& round_;
  ReservedPort port_;
  FaultProxy peers_, home_;
};

}  // namespace coshard::test
