// coshard round export: the model of an open round, assembled from its stages' checkpoints, each of
// which must be the file that the ledger recorded.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "crypto/hash.h"
#include "ledger/verify.h"
#include "node/cli/commands.h"
#include "node/cli/coordinator_process.h"
#include "node/cli/exit_code.h"
#include "node/cli/round_handle.h"
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
  node::LoadedRound loaded;
  ledger::CheckpointRecord record;
  std::vector<fs::path> checkpoints;  // folders, looked through in this order
};

Result<node::LoadedRound> open_round_file(const RoundExportCommand& command, const fs::path& dir,
                                          const ledger::Genesis& genesis) {
  const fs::path file = command.round.value_or(dir / "round.toml");
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

Result<Source> find_source(const RoundExportCommand& command) {
  COSHARD_ASSIGN(const node::Config config, node::load_config(node::process_environment()));
  COSHARD_ASSIGN(const RoundHandle round, find_round(command.id, config));
  if (!round.dir)
    return fail(ErrorCode::kInvalidArgument,
                "round export: expected a round's name or folder on this machine, found the URL " +
                    round.url + "; collect the stages' checkpoints and the ledger in a folder");
  COSHARD_ASSIGN(const fs::path folder, only_ledger(*round.dir));
  COSHARD_ASSIGN(const ledger::VerifiedLedger verified,
                 ledger::verify_ledger(ledger::DiskFolder(folder)));
  Source source;
  COSHARD_ASSIGN(source.loaded, open_round_file(command, *round.dir, verified.accounts.genesis()));
  // DIR/round.toml is a copy: what it names lies where the launched file was.
  if (const auto launch = read_launch(*round.dir); launch && !command.round)
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
  if (source.checkpoints.empty()) source.checkpoints = {*round.dir / "checkpoints"};
  return source;
}

/// In the first folder that has it; in the last one, if none has.
fs::path stage_file(const Source& source, StageIndex stage) {
  std::array<char, 32> step{};
  std::snprintf(step.data(), step.size(), "step-%08llu",
                static_cast<unsigned long long>(source.record.step.value));
  fs::path path;
  for (const fs::path& folder : source.checkpoints) {
    path = folder / step.data() / ("stage-" + std::to_string(stage.value) + ".safetensors");
    std::error_code ec;
    if (fs::exists(path, ec)) break;
  }
  return path;
}

Result<std::vector<fs::path>> checked_stage_files(const Source& source) {
  std::vector<fs::path> files;
  for (const ledger::ShardHash& shard : source.record.shards) {
    const fs::path path = stage_file(source, shard.stage);
    const auto file = shard::ReadFile::open(path, shard::Symlinks::kRefuse);
    if (!file)
      return tl::unexpected<Error>(
          file.error().within("the checkpoint of stage " + std::to_string(shard.stage.value) +
                              " (ask its owner for it, and name its folder with --checkpoints)"));
    COSHARD_ASSIGN(const Hash hash, file->hash());
    if (hash != shard.sha256)
      return fail(ErrorCode::kCorruption,
                  path.string() + ": expected the file that the ledger recorded (SHA-256 " +
                      to_hex(shard.sha256) + "), found " + to_hex(hash));
    files.push_back(path);
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

}  // namespace

int run(const RoundExportCommand& command) {
  if (const auto out = check_out(command.out); !out) return report(out.error(), kBadInput);
  const auto source = find_source(command);
  if (!source) return report(source.error(), kBadInput);
  const auto files = checked_stage_files(*source);
  if (!files) return report(files.error(), kFailed);
  const auto tokenizer = find_tokenizer(*source);
  const auto made = shard::export_hf_llama({*files, command.out, tokenizer.get(), command.bf16});
  if (!made) return report(made.error(), kFailed);
  if (command.json) {
    const nlohmann::ordered_json json{{"model", source->loaded.round.model.name},
                                      {"step", made->step.value},
                                      {"parameters", made->parameters},
                                      {"out", command.out.string()},
                                      {"sha256", to_hex(made->weights)},
                                      {"tokenizer", tokenizer ? tokenizer->id() : ""}};
    std::printf("%s\n", json.dump().c_str());
    return kDone;
  }
  std::printf("%s: step %llu of %s, %llu parameters from %zu stages%s\n", command.out.c_str(),
              static_cast<unsigned long long>(made->step.value),
              source->loaded.round.model.name.c_str(),
              static_cast<unsigned long long>(made->parameters), files->size(),
              tokenizer ? "" : " (without tokenizer: its model was not found)");
  std::printf("Load it with transformers.AutoModelForCausalLM.from_pretrained(\"%s\")\n",
              command.out.c_str());
  return kDone;
}

}  // namespace coshard::cli
