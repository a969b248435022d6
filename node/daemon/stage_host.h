// From a Welcome to an engine that is ready: parses the round file, checks the memory bill, opens
// the token shards, makes the stage and loads its checkpoint. plan_stage(): any thread, pure;
// raise_stage(): cs-engine.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "node/checkpoint_path.h"
#include "node/daemon/engine_thread.h"
#include "node/round_file.h"
#include "protocol/round/participant.h"

namespace coshard::node {

/// What came along with the Welcome.
struct RoundPackage {
  std::string round_text;
  Bytes genesis_entry;
  std::string manifest_text;
};

/// What of this box decides how a stage is held.
struct StageSite {
  std::filesystem::path directory;
  std::filesystem::path data;
  std::filesystem::path checkpoints;
  shard::Device device;
  int threads = 1;
  std::uint64_t memory_bytes = 0;      ///< that a stage may take; 0: unknown
  std::uint64_t flops_per_second = 0;  ///< measured
};

/// Everything known before anything is allocated.
struct StagePlan {
  RoundFile round;
  shard::StageConfig engine;
  shard::TokenOrder order;
  std::filesystem::path manifest;    ///< written by raise_stage, with absolute shard paths
  std::string manifest_text;         ///< as the coordinator sent it
  std::filesystem::path checkpoint;  ///< to load; empty: initial weights
  Hash checkpoint_hash{};
  std::filesystem::path data;
  std::string held;  ///< for people: which layers, and what memory is left
};

/// kInvalidArgument for a round or a seat that does not fit together, kResourceExhausted with the
/// memory bill where the stage is too large for this box.
Result<StagePlan> plan_stage(const Welcome& welcome, const RoundPackage& package,
                             const StageSite& site);

/// What a raised stage is, for the machine and for its shell.
struct RaisedStage {
  round::StageReady event;
  std::vector<std::uint64_t> chunk_bytes;  ///< of the gradient, by averaging chunk
};

/// Fills `home`. kCorruption naming the shard or the checkpoint file that is damaged.
Result<RaisedStage> raise_stage(EngineHome& home, const StagePlan& plan);

/// Bytes of this machine's memory that programs could take now; 0: unknown.
std::uint64_t available_memory_bytes();

}  // namespace coshard::node
