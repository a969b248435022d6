// What the coordinator's GET /status says (node/README.md), for people and for programs that watch
// a round. Value types; pure functions, any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/base/error.h"

namespace coshard::node {

struct RoundStatus {
  struct Node {
    std::string node;     ///< hexadecimal
    std::string account;  ///< hexadecimal
    std::uint32_t stage = 0;
    std::uint32_t replica = 0;
    std::string endpoint;     ///< where other nodes reach it
    std::string certificate;  ///< crypto::NodeCertificate, in hexadecimal
    std::string state;        ///< live, suspect, lost
    std::string activity;     ///< idle, computing, averaging, updating, saving
    std::uint64_t applied_step = 0;
    std::optional<double> tokens_per_second;
    std::optional<std::uint64_t> silent_ms;
    std::optional<std::uint64_t> outstanding;
  };
  struct Missing {
    std::uint32_t stage = 0;
    std::uint32_t replicas = 0;
  };
  struct Ended {
    std::string reason, text;
    std::uint64_t resumable_step = 0;
  };
  std::string model;
  std::string state;  ///< waiting, running, paused, ending, ended
  std::string reason;
  std::string waiting_for;
  std::vector<std::string> waits;  ///< each in a sentence, the most urgent first
  std::uint64_t step = 0, steps = 0;
  std::optional<double> loss, tokens_per_second, boundary_bytes_per_token, seconds_left;
  std::vector<Node> nodes;
  std::vector<Missing> missing;
  std::string ledger_origin, ledger_root;
  std::uint64_t ledger_size = 0;
  std::uint64_t checkpoint_step = 0;
  std::uint64_t nodes_lost = 0, nodes_joined = 0, microbatches_repaired = 0;
  std::optional<Ended> ended;

  bool has_ended() const { return state == "ended"; }
};

/// kCorruption when it is not JSON, or lacks model, state, step or steps. Everything else may be
/// absent or null.
Result<RoundStatus> parse_round_status(std::string_view json);

}  // namespace coshard::node
