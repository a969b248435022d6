// Frames within one process and one thread, under virtual time: every link has a delay, and on
// request loses, repeats and reorders what it carries, all decided by a seed. For tests and the
// simulation. It keeps the promises of transport.h (with loss, repetition and reordering off),
// without the cryptography: a peer's certificate is believed.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "protocol/base/clock.h"
#include "protocol/base/limits.h"
#include "protocol/transport/transport.h"

namespace coshard::transport {

struct MemLinkOptions {
  Duration delay_min = std::chrono::milliseconds(1);
  Duration delay_max = std::chrono::milliseconds(1);
  double loss = 0;          ///< chance that a frame vanishes
  double repetition = 0;    ///< chance that a frame arrives twice
  bool keeps_order = true;  ///< per sender and receiver; false: by delay alone
};

struct MemPeer {
  NodeId node;
  crypto::CurveKey curve_public{};
};

/// The wires between all transports that are attached to it. The clock moves only in step() and
/// run_for().
class MemNetwork {
 public:
  /// `clock` outlives the network; the network outlives its transports.
  MemNetwork(ManualClock& clock, std::uint64_t seed, const MemLinkOptions& options);
  ~MemNetwork();
  MemNetwork(const MemNetwork&) = delete;
  MemNetwork& operator=(const MemNetwork&) = delete;

  struct AttachOptions {
    Admission admission = Admission::kAllowList;
    std::size_t payload_bytes_max = limits::kPayloadBytesMax;
    std::size_t bytes_in_flight_max = limits::kBytesInFlightMax;
  };
  /// A transport that listens at `endpoint`; kUnavailable: the endpoint is taken.
  Result<std::unique_ptr<Transport>> attach(const MemPeer& self, const std::string& endpoint,
                                            const AttachOptions& options);

  /// Moves the clock to the next event and lets it happen. False when nothing is left to happen.
  bool step();
  /// Everything that happens within `duration`; the clock ends up exactly there.
  void run_for(Duration duration);
  /// Cuts or heals the wire between two nodes: connections end, new ones fail.
  void cut(const NodeId& a, const NodeId& b, bool cut);

 private:
  friend class MemTransport;
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace coshard::transport
