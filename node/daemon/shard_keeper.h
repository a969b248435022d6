// Sealed shards on this box (design 3.4): seals the own stage's saved state where no replica has
// it, keeps that of neighbouring stages, which it cannot read, and opens what a keeper gives back
// to whoever takes a lost node's seat. Which, when and for whom: protocol/round. Home thread:
// cs-net; files are sealed and opened on cs-seal.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <filesystem>
#include <optional>

#include "node/daemon/bulk_thread.h"
#include "node/daemon/state_client.h"
#include "protocol/round/participant_events.h"

namespace coshard::node {

/// "DIR/step-00000020/stage-1.sealed".
std::filesystem::path sealed_path(const std::filesystem::path& checkpoints, StepId step,
                                  StageIndex stage);

/// Seals the saved shard beside it; older sealed ones of that stage go. The answer says what went
/// wrong. Any thread.
ShardSealed seal_shard(const std::filesystem::path& checkpoints, const SealOrder& order);

/// Opens a sealed shard to where a checkpoint lies, if it is what the coordinator recorded:
/// kCorruption, kPermissionDenied (not sealed under this key) or errors of files, and no file. Any
/// thread.
Result<void> open_shard(const std::filesystem::path& checkpoints, const ShardReturn& shard);

class ShardKeeper {
 public:
  ShardKeeper(std::filesystem::path checkpoints, const Clock& clock, StateClientPorts ports);

  void run(const round::SealShard& action);
  void run(const round::KeepShard& action);
  void run(const round::RestoreShard& action);
  /// False: it is not for the copy that is under way here.
  bool on_piece(const NodeId& from, const StatePiece& piece, const SharedBytes& bytes);
  bool on_refused(const NodeId& from, const StateRefused& refusal);
  /// Everything that time alone changes. Call every limits::kUnitReportInterval.
  void tick() { copy_.tick(); }

 private:
  StateClientPorts copy_ports();
  void copy_next();
  void copied(const std::string& error);
  void open_copy(const ShardReturn& shard);
  bool is_wanted(StepId step, StageIndex stage) const;

  const std::filesystem::path checkpoints_;
  const StateClientPorts ports_;
  std::deque<KeepOrder> wanted_;          ///< the first is being copied
  std::optional<ShardReturn> returning_;  ///< the own stage's, on its way here
  StateClient copy_;
  BulkThread bulk_;
};

}  // namespace coshard::node
