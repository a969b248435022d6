// Copies the state of this node's stage from the replicas that hold it, several at once, while the
// round trains on: for a node that joins. Believes nothing but the hash that the coordinator
// recorded in the ledger. A copy that was broken off goes on where its file ends. What to ask of
// whom: protocol/round/state_fetch. Home thread: cs-net; the whole is hashed on cs-bulk.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <string>

#include "node/daemon/bulk_thread.h"
#include "node/part_file.h"
#include "protocol/base/clock.h"
#include "protocol/round/participant_events.h"
#include "protocol/round/state_fetch.h"

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

  /// All holders at once; should what they sent together be false, each of them alone, so that one
  /// liar cannot spoil the honest ones' copy. Ends with StateFetched.
  void fetch(const round::FetchState& wanted);
  void on_piece(const NodeId& from, const StatePiece& piece, const SharedBytes& bytes);
  void on_refused(const NodeId& from, const StateRefused& refusal);
  /// Everything that time alone changes. Call every limits::kUnitReportInterval.
  void tick();

  /// "copying the state after step 40: 12.0 of 48.0 MB, 3.1 MB/s"; empty when there is none.
  std::string progress() const;

 private:
  using Holders = std::vector<NodeId>;
  void begin();
  void follow_connections();
  void ask();
  void check_whole();
  void on_checked(const Result<void>& accepted);
  void next_try(Error why);
  void finish(const std::string& error);
  std::filesystem::path file() const;
  std::filesystem::path part() const;

  const PathOf path_of_;
  const Clock& clock_;
  const StateClientPorts ports_;
  std::optional<StateOffer> offer_;  ///< under way
  std::deque<Holders> tries_;        ///< the first is under way
  std::optional<round::StateFetch> fetch_;
  std::optional<PartFile> part_;
  std::set<NodeId> asked_;  ///< known to fetch_
  std::uint64_t had_ = 0;   ///< bytes that were there before
  TimePoint began_at_, news_at_, told_at_;
  BulkThread bulk_;
};

}  // namespace coshard::node
