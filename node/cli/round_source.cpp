// See round_source.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/cli/round_source.h"

#include <optional>

#include "crypto/hash.h"
#include "node/checkpoint_path.h"
#include "node/cli/coordinator_process.h"
#include "node/cli/ledger_folder.h"
#include "node/cli/ledger_mirror.h"
#include "node/cli/round_owners.h"
#include "shard/data/file.h"

namespace coshard::cli {
namespace {

namespace fs = std::filesystem;

Result<node::LoadedRound> open_round_file(const RoundExportCommand& command,
                                          const RoundHandle& round,
                                          const ledger::Genesis& genesis) {
  if (!command.round && !round.dir)
    return fail(ErrorCode::kInvalidArgument,
                "round export: expected --round FILE with the round file, since " + round.url +
                    " is not on this machine");
  const fs::path file = command.round ? *command.round : *round.dir / "round.toml";
  auto loaded = node::load_round(file);
  if (!loaded) return tl::unexpected<Error>(loaded.error().within("the round file (--round FILE)"));
  if (crypto::sha256(as_bytes(loaded->text)) != genesis.round_hash)
    return fail(ErrorCode::kInvalidArgument,
                file.string() + ": expected the round file that the ledger began with (SHA-256 " +
                    to_hex(genesis.round_hash) + "), found another one");
  return loaded;
}

Result<fs::path> only_ledger(const fs::path& dir) {
  std::error_code ec;
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(dir / "ledger", ec)) {
    if (entry.is_directory()) found.push_back(entry.path());
  }
  if (found.size() == 1) return found.front();
  return fail(ErrorCode::kNotFound, (dir / "ledger").string() +
                                        ": expected the ledger of one model, found " +
                                        std::to_string(found.size()));
}

/// The round's ledger, verified: that on this machine, or a copy of the one that is served.
Result<ledger::VerifiedLedger> read_round_ledger(const RoundHandle& round) {
  const LedgerQuery query;
  if (round.dir) {
    COSHARD_ASSIGN(const fs::path folder, only_ledger(*round.dir));
    COSHARD_ASSIGN(ObservedLedger read, read_folder(folder, query, Depth::kBalances, {}));
    return std::move(read.ledger);
  }
  COSHARD_ASSIGN(const LedgerMirror mirror, LedgerMirror::fetch(round.url, ""));
  COSHARD_ASSIGN(ObservedLedger read, read_folder(mirror.folder(), query, Depth::kBalances, {}));
  return std::move(read.ledger);
}

/// The last one, or that of the step which was asked for.
Result<ledger::CheckpointRecord> find_record(const RoundExportCommand& command,
                                             const RoundSource& source,
                                             const ledger::VerifiedLedger& verified) {
  const ledger::CheckpointRecord* found = nullptr;
  for (const ledger::VerifiedEntry& entry : verified.entries)
    if (const auto* record = std::get_if<ledger::CheckpointRecord>(&entry.body.leaf);
        record != nullptr && (!command.step || record->step.value == *command.step))
      found = record;
  if (found != nullptr) return *found;
  const std::string which = command.step ? " of step " + std::to_string(*command.step) : "";
  return fail(ErrorCode::kFailedPrecondition,
              source.loaded.round.model.name + ": expected a complete checkpoint" + which +
                  " in the ledger, found none" + (command.step ? "" : " yet"));
}

Result<RoundSource> find_source(const RoundExportCommand& command) {
  COSHARD_ASSIGN(const node::Config config, node::load_config(node::process_environment()));
  RoundSource source;
  COSHARD_ASSIGN(source.round, find_round(command.id, config));
  COSHARD_ASSIGN(const ledger::VerifiedLedger verified, read_round_ledger(source.round));
  source.network = verified.accounts.network();
  source.origin = verified.accounts.genesis().origin;
  COSHARD_ASSIGN(source.loaded,
                 open_round_file(command, source.round, verified.accounts.genesis()));
  // DIR/round.toml is a copy: what it names lies where the launched file was.
  if (source.round.dir && !command.round)
    if (const auto launch = read_launch(*source.round.dir))
      source.loaded.folder = launch->round.parent_path();
  if (source.loaded.round.model.weights == node::Weights::kProtected)
    return fail(ErrorCode::kPermissionDenied,
                source.loaded.round.model.name +
                    ": expected a round with weights = \"open\", found \"protected\": its model is "
                    "never assembled anywhere");
  COSHARD_ASSIGN(source.record, find_record(command, source, verified));
  source.checkpoints = command.checkpoints;
  if (source.checkpoints.empty() && source.round.dir)
    source.checkpoints = {*source.round.dir / "checkpoints"};
  return source;
}

/// In the first folder that has it; nothing if none has.
std::optional<fs::path> stage_file(const RoundSource& source, StageIndex stage) {
  std::error_code ec;
  for (const fs::path& folder : source.checkpoints) {
    const fs::path path = node::checkpoint_path(folder, source.record.step, stage);
    if (fs::exists(path, ec)) return path;
  }
  return std::nullopt;
}

Result<fs::path> checked_stage_file(const RoundSource& source, const ledger::ShardHash& shard) {
  const auto path = stage_file(source, shard.stage);
  if (!path)
    return fail(ErrorCode::kNotFound,
                "the checkpoint of stage " + std::to_string(shard.stage.value) + " after step " +
                    std::to_string(source.record.step.value) + " is not on this machine");
  COSHARD_ASSIGN(const auto file, shard::ReadFile::open(*path, shard::Symlinks::kRefuse));
  COSHARD_ASSIGN(const Hash hash, file.hash());
  if (hash != shard.sha256)
    return fail(ErrorCode::kCorruption,
                path->string() + ": expected the file that the ledger recorded (SHA-256 " +
                    to_hex(shard.sha256) + "), found " + to_hex(hash));
  return *path;
}

/// Every stage's file; what is not on this machine is copied into `parts` from those who hold it,
/// unless folders were named.
Result<std::vector<fs::path>> stage_files(const RoundSource& source,
                                          const RoundExportCommand& command,
                                          const fs::path& parts) {
  std::optional<RoundOwners> owners;
  std::vector<fs::path> files;
  for (const ledger::ShardHash& shard : source.record.shards) {
    auto file = checked_stage_file(source, shard);
    if (!file && file.error().code == ErrorCode::kNotFound && command.checkpoints.empty()) {
      if (!owners) {
        auto asked = RoundOwners::find(source.round, command.token, source.network);
        if (!asked) return tl::unexpected<Error>(asked.error().within(file.error().message));
        owners.emplace(std::move(*asked));
      }
      const fs::path path = node::checkpoint_path(parts, source.record.step, shard.stage);
      COSHARD_TRY(owners->copy_state(source.loaded.round, source.record.step, shard, path));
      file = path;
    }
    if (!file)
      return tl::unexpected<Error>(
          file.error().code == ErrorCode::kNotFound
              ? file.error().within("ask its owner for it, and name its folder with --checkpoints")
              : file.error());
    files.push_back(std::move(*file));
  }
  return files;
}

}  // namespace

Result<RoundState> collect_state(const RoundExportCommand& command, const fs::path& parts,
                                 const std::function<Result<void>(const RoundSource&)>& check,
                                 ExitCode& failure) {
  constexpr int kTries = 3;
  for (int left = kTries - 1;; --left) {
    failure = kBadInput;
    COSHARD_ASSIGN(RoundSource source, find_source(command));
    COSHARD_TRY(check(source));
    failure = kFailed;
    auto files = stage_files(source, command, parts);
    const bool replaced = !files && files.error().code == ErrorCode::kNotFound &&
                          command.checkpoints.empty() && !command.step;
    if (replaced && left > 0) continue;
    if (!files) return tl::unexpected<Error>(files.error());
    return RoundState{std::move(source), std::move(*files)};
  }
}

}  // namespace coshard::cli
