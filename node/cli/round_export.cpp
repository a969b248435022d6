// coshard round export: the model of an open round, assembled from its stages' checkpoints, each of
// which must be the file that the ledger recorded. A checkpoint that is not on this machine is
// asked of the nodes that hold the stage, while the round runs (round_owners).
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <nlohmann/json.hpp>

#include "crypto/hash.h"
#include "node/checkpoint_path.h"
#include "node/cli/commands.h"
#include "node/cli/coordinator_process.h"
#include "node/cli/exit_code.h"
#include "node/cli/ledger_folder.h"
#include "node/cli/ledger_mirror.h"
#include "node/cli/round_owners.h"
#include "node/round_file.h"
#include "shard/checkpoint/hf_llama.h"
#include "shard/data/file.h"
#include "shard/data/manifest.h"
#include "shard/data/tokenizer.h"

namespace coshard::cli {
namespace {

namespace fs = std::filesystem;

/// What an export needs to know before it reads a weight.
struct Source {
  RoundHandle round;
  NetworkId network;
  node::LoadedRound loaded;
  ledger::CheckpointRecord record;
  std::vector<fs::path> checkpoints;  // folders, looked through in this order
};

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

Result<Source> find_source(const RoundExportCommand& command) {
  COSHARD_ASSIGN(const node::Config config, node::load_config(node::process_environment()));
  Source source;
  COSHARD_ASSIGN(source.round, find_round(command.id, config));
  COSHARD_ASSIGN(const ledger::VerifiedLedger verified, read_round_ledger(source.round));
  source.network = verified.accounts.network();
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
  const ledger::CheckpointRecord* last = nullptr;
  for (const ledger::VerifiedEntry& entry : verified.entries) {
    if (const auto* record = std::get_if<ledger::CheckpointRecord>(&entry.body.leaf)) last = record;
  }
  if (last == nullptr)
    return fail(ErrorCode::kFailedPrecondition,
                source.loaded.round.model.name +
                    ": expected a complete checkpoint in the ledger, "
                    "found none yet");
  source.record = *last;
  source.checkpoints = command.checkpoints;
  if (source.checkpoints.empty() && source.round.dir)
    source.checkpoints = {*source.round.dir / "checkpoints"};
  return source;
}

/// In the first folder that has it; nothing if none has.
std::optional<fs::path> stage_file(const Source& source, StageIndex stage) {
  std::error_code ec;
  for (const fs::path& folder : source.checkpoints) {
    const fs::path path = node::checkpoint_path(folder, source.record.step, stage);
    if (fs::exists(path, ec)) return path;
  }
  return std::nullopt;
}

Result<fs::path> checked_stage_file(const Source& source, const ledger::ShardHash& shard) {
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
Result<std::vector<fs::path>> stage_files(const Source& source, const RoundExportCommand& command,
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

/// The tokenizer that the round's data names; an export without one is still an export.
std::unique_ptr<shard::Tokenizer> find_tokenizer(const Source& source) {
  const fs::path path = node::manifest_path(source.loaded.round, source.loaded.folder);
  const auto text = shard::read_whole(path, limits::kManifestBytesMax, shard::Symlinks::kFollow);
  if (!text) return nullptr;
  const auto manifest = shard::parse_manifest(as_text(*text));
  if (!manifest) return nullptr;
  const std::string& id = manifest->tokenizer.id;
  auto tokenizer = shard::make_tokenizer(
      id == "bytes" ? id : (path.parent_path() / manifest->tokenizer.file).string());
  if (!tokenizer || shard::tokenizer_hash(**tokenizer) != manifest->tokenizer.sha256)
    return nullptr;
  return std::move(*tokenizer);
}

Result<void> check_out(const fs::path& out) {
  std::error_code ec;
  if (!fs::exists(out, ec) || fs::is_empty(out, ec)) return {};
  return fail(ErrorCode::kFailedPrecondition,
              out.string() + ": expected an empty folder or none, found files in it");
}

struct Assembled {
  Source source;
  shard::HfExportReport made;
  std::size_t stages = 0;
  std::string tokenizer;  ///< id; empty: its model was not found
};

/// The newest checkpoint may be replaced by newer ones while it is copied: then that one is.
/// `failure` is the exit code of what went wrong.
Result<Assembled> assemble(const RoundExportCommand& command, ExitCode& failure) {
  constexpr int kTries = 3;
  const fs::path parts = command.out.string() + ".parts";
  for (int left = kTries - 1;; --left) {
    COSHARD_ASSIGN(Source source, find_source(command));
    failure = kFailed;
    const auto files = stage_files(source, command, parts);
    if (!files && files.error().code == ErrorCode::kNotFound && left > 0 &&
        command.checkpoints.empty())
      continue;
    if (!files) return tl::unexpected<Error>(files.error());
    const auto tokenizer = find_tokenizer(source);
    COSHARD_ASSIGN(const auto made,
                   shard::export_hf_llama({*files, command.out, tokenizer.get(), command.bf16}));
    std::error_code ec;
    fs::remove_all(parts, ec);
    return Assembled{std::move(source), made, files->size(), tokenizer ? tokenizer->id() : ""};
  }
}

}  // namespace

int run(const RoundExportCommand& command) {
  if (const auto out = check_out(command.out); !out) return report(out.error(), kBadInput);
  ExitCode failure = kBadInput;
  const auto done = assemble(command, failure);
  if (!done) return report(done.error(), failure);
  const std::string& model = done->source.loaded.round.model.name;
  if (command.json) {
    const nlohmann::ordered_json json{{"model", model},
                                      {"step", done->made.step.value},
                                      {"parameters", done->made.parameters},
                                      {"out", command.out.string()},
                                      {"sha256", to_hex(done->made.weights)},
                                      {"tokenizer", done->tokenizer}};
    std::printf("%s\n", json.dump().c_str());
    return kDone;
  }
  std::printf("%s: step %llu of %s, %llu parameters from %zu stages%s\n", command.out.c_str(),
              static_cast<unsigned long long>(done->made.step.value), model.c_str(),
              static_cast<unsigned long long>(done->made.parameters), done->stages,
              done->tokenizer.empty() ? " (without tokenizer: its model was not found)" : "");
  std::printf("Load it with transformers.AutoModelForCausalLM.from_pretrained(\"%s\")\n",
              command.out.c_str());
  return kDone;
}

}  // namespace coshard::cli
