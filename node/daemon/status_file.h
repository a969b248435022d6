// DIR/status.json: what `coshard status` shows, replaced once a second. Contents: node/README.md.
// Home thread: cs-net.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "node/courier.h"
#include "node/daemon/receipts.h"
#include "node/daemon/stage_runner.h"
#include "protocol/round/participant.h"

namespace coshard::node {

/// Where this round's credits can be read, and verified. The node itself never asks.
struct PublicLog {
  std::string url;  ///< as the coordinator gives it; empty before a Welcome
  NetworkId network;
};

struct StatusView {
  NodeId node;
  AccountId account;
  round::ParticipantPhase phase = round::ParticipantPhase::kJoining;
  std::optional<Welcome> seat;
  Heartbeat heartbeat;
  const RunnerCounters& runner;
  const ReceiptCounters& receipts;
  const Courier& courier;
  std::map<NodeId, StageIndex> links;  ///< neighbours and the stages that they hold
  Duration engine_busy{};
  std::size_t kept_bytes = 0;
  PublicLog ledger;
  std::string model;
  std::string held;         ///< which layers, and what memory is left
  std::string waiting_for;  ///< empty when nothing is
  std::vector<round::Wait> waits;
};

class StatusFile {
 public:
  StatusFile(std::filesystem::path file, const Clock& clock)
      : file_(std::move(file)), clock_(clock) {}

  /// A failure is logged once, not every second.
  void write(const StatusView& view);

  /// Tokens per second through the stage since the last call, smoothed; feeds heartbeats too.
  std::uint64_t tokens_per_second(std::uint64_t tokens_done);

 private:
  const std::filesystem::path file_;
  const Clock& clock_;
  std::optional<TimePoint> rate_since_;
  std::uint64_t rate_tokens_ = 0;
  double rate_ = 0;
  bool complained_ = false;
};

/// Resident memory of this process; 0 where the system does not say.
std::uint64_t resident_bytes();

}  // namespace coshard::node
