// Finding a round and talking to its coordinator. Home thread: main.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "node/config.h"
#include "node/round_status.h"
#include "protocol/base/error.h"

namespace coshard::cli {

/// DIR/coordinator.json, written by a coordinator that listens.
struct CoordinatorFile {
  int pid = 0;
  std::string model;
  std::string endpoint;
  std::string url;  ///< http://HOST:PORT of status, metrics and the public log
};

/// kNotFound when there is none, kCorruption when it is not what a coordinator writes.
Result<CoordinatorFile> read_coordinator_file(const std::filesystem::path& dir);

/// A round as the command line names it.
struct RoundHandle {
  std::string id;                            ///< as given
  std::string url;                           ///< empty when no coordinator ever listened
  std::optional<std::filesystem::path> dir;  ///< nothing for a round that is somewhere else
  int pid = 0;                               ///< of a local coordinator; it may be gone
};

/// `id` is an URL, a folder, or the name of a folder under `config.rounds`. kNotFound names the
/// rounds that are known.
Result<RoundHandle> find_round(const std::string& id, const node::Config& config);

/// Whether the local coordinator's process is there.
bool is_running(const RoundHandle& round);

/// What a round's folder says when no coordinator runs.
struct RoundRemains {
  std::uint64_t step = 0;  ///< the last one that was committed
  std::optional<double> loss;
  bool finished = false;  ///< that step was the round's last
};
RoundRemains read_remains(const std::filesystem::path& dir);

/// The control token in `file`, or else in the round's own folder. kInvalidArgument where there is
/// neither (the round is somewhere else), kNotFound where the file has none.
Result<std::string> read_token(const RoundHandle& round,
                               const std::optional<std::filesystem::path>& file);

/// What the coordinator says now. kUnavailable when it does not answer.
Result<node::RoundStatus> ask_status(const std::string& url);
/// The same as the JSON that was sent.
Result<std::string> ask_status_json(const std::string& url);

}  // namespace coshard::cli
