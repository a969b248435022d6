// Those who hold the stages of a running round, as an export asks them for copies: found through
// the coordinator, which lets in whoever shows its control token. Home thread: main.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "ledger/leaves.h"
#include "node/cli/round_handle.h"
#include "node/cli/state_download.h"
#include "node/round_file.h"

namespace coshard::cli {

class RoundOwners {
 public:
  /// Asks to be let in. kFailedPrecondition when no coordinator runs or the round is over, with
  /// what to do; kPermissionDenied when the round is protected or the token (of the round's folder,
  /// or in `token`) is not the coordinator's.
  static Result<RoundOwners> find(const RoundHandle& round,
                                  const std::optional<std::filesystem::path>& token,
                                  const NetworkId& network);

  /// Copies the state of `shard.stage` after `step` to `file`; see StateDownload::fetch.
  Result<void> copy_state(const node::RoundFile& round, StepId step, const ledger::ShardHash& shard,
                          const std::filesystem::path& file);

 private:
  RoundOwners(std::string url, std::unique_ptr<StateDownload> download)
      : url_(std::move(url)), download_(std::move(download)) {}

  std::string url_;
  std::unique_ptr<StateDownload> download_;
};

}  // namespace coshard::cli
