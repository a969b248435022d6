// Events and actions that both machines of protocol/round share. The shell (node/, protocol/sim)
// turns frames and timers into events and executes actions in the order in which they come.
// Value types, any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "protocol/base/messages.h"

namespace coshard::round {

/// A message that passed every check of protocol/wire (signature, incarnation, sizes).
struct Received {
  NodeId from;
  Message message;
  Bytes certificate;  ///< of a JoinRequest: payload 0, verified by the shell; empty otherwise
};

/// The transport's peer table gave the node up: silence, or its session ended.
struct PeerLost {
  NodeId node;
  std::string reason;
};

/// The transport's peer table suspects the node: it has been silent for longer than the spread of
/// its heartbeats explains. For the coordinator, who may give it up before it counts as gone.
struct PeerLate {
  NodeId node;
};

/// Time passes: at least once every limits::kUnitReportInterval.
struct Tick {};

/// The shell's ledger side is through with this epoch: node: its work batch was taken;
/// coordinator: every batch that can still come has been admitted or given up.
struct EpochSettled {
  LedgerEpoch epoch;
};

/// Action: `peer` broke the protocol. The shell counts it in the peer table and may drop the peer.
/// Stale and repeated messages are no faults.
struct PeerFault {
  NodeId peer;
  std::string reason;
};

}  // namespace coshard::round
