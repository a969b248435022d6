// Copies a stage's file from the nodes that hold it while the round trains on: the state for a node
// that joins, a sealed shard for its keeper, and back. Believes nothing but the hash that the
// coordinator gave. A copy that was broken off goes on where its file ends. What to ask of whom,
// and when to give up: protocol/round/state_copy. Home thread: cs-net; the whole is hashed on
// cs-bulk.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "node/daemon/bulk_thread.h"
#include "node/part_file.h"
#include "protocol/base/clock.h"
#include "protocol/round/participant_events.h"
#include "protocol/round/state_copy.h"

namespace coshard::node {

/// What the client reaches of its surroundings; all called on cs-net but `run_later`.
struct StateClientPorts {
  NodeId self;  ///< nodes that share a folder may copy the same state at once
  std::function<Result<void>(const NodeId&, const Message&)> send;
  std::function<bool(const NodeId&)> connected;
  std::function<void(round::ParticipantEvent)> post;
  std::function<void(const NodeId&, const std::string&)> fault;
  /// Runs the function on cs-net; from cs-bulk.
  std::function<void(std::function<void()>)> run_later;
};

class StateClient {
 public:
  /// Where the copy of a state goes.
  using PathOf = std::function<std::filesystem::path(StepId, StageIndex)>;
  StateClient(PathOf path_of, const Clock& clock, StateClientPorts ports);

  /// Ends with StateFetched.
  void fetch(const round::FetchState& wanted);
  void on_piece(const NodeId& from, const StatePiece& piece, const SharedBytes& bytes);
  void on_refused(const NodeId& from, const StateRefused& refusal);
  /// Everything that time alone changes. Call every limits::kUnitReportInterval.
  void tick();

  /// "copying the state after step 40: 12.0 MiB of 48.0 MiB, 3.10 MiB/s"; empty when there is none.
  std::string progress() const;

 private:
  bool is_copying() const { return copy_ && part_; }
  void begin();
  void ask();
  void check_whole();
  void on_checked(const Result<void>& accepted);
  void next_try(const Error& why);
  void finish(const std::string& error);
  std::filesystem::path path() const;
  std::filesystem::path part() const;

  const PathOf path_of_;
  const Clock& clock_;
  const StateClientPorts ports_;
  std::optional<ShardFile> file_;  ///< under way
  std::optional<round::StateCopy> copy_;
  std::optional<PartFile> part_;  ///< until all bytes are there
  TimePoint told_at_;
  BulkThread bulk_;
};

}  // namespace coshard::node
