// coshard round export: the model of an open round, assembled from its stages' checkpoints as a
// Hugging Face directory, or cut into the stages of another round, which goes on from there. Where
// the checkpoints come from: round_source.
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <nlohmann/json.hpp>

#include "node/cli/commands.h"
#include "node/cli/exit_code.h"
#include "node/cli/round_recut.h"
#include "node/cli/round_source.h"
#include "shard/checkpoint/hf_llama.h"
#include "shard/data/file.h"
#include "shard/data/manifest.h"
#include "shard/data/tokenizer.h"

namespace coshard::cli {
namespace {

namespace fs = std::filesystem;

/// The tokenizer that the round's data names; an export without one is still an export.
std::unique_ptr<shard::Tokenizer> find_tokenizer(const RoundSource& source) {
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

/// Whatever has come stays there for the next try; what is done with is removed.
fs::path parts_of(const RoundExportCommand& command) { return command.out.string() + ".parts"; }

int export_hf(const RoundExportCommand& command) {
  ExitCode failure = kBadInput;
  const auto nothing_more = [](const RoundSource&) { return Result<void>(); };
  const auto state = collect_state(command, parts_of(command), nothing_more, failure);
  if (!state) return report(state.error(), failure);
  const auto tokenizer = find_tokenizer(state->source);
  const auto made =
      shard::export_hf_llama({state->files, command.out, tokenizer.get(), command.bf16});
  if (!made) return report(made.error(), kFailed);
  std::error_code ec;
  fs::remove_all(parts_of(command), ec);
  const std::string& model = state->source.loaded.round.model.name;
  if (command.json) {
    const nlohmann::ordered_json json{{"model", model},
                                      {"step", made->step.value},
                                      {"parameters", made->parameters},
                                      {"out", command.out.string()},
                                      {"sha256", to_hex(made->weights)},
                                      {"tokenizer", tokenizer ? tokenizer->id() : ""}};
    std::printf("%s\n", json.dump().c_str());
    return kDone;
  }
  std::printf("%s: step %llu of %s, %llu parameters from %zu stages%s\n", command.out.c_str(),
              static_cast<unsigned long long>(made->step.value), model.c_str(),
              static_cast<unsigned long long>(made->parameters), state->files.size(),
              tokenizer ? "" : " (without tokenizer: its model was not found)");
  std::printf("Load it with transformers.AutoModelForCausalLM.from_pretrained(\"%s\")\n",
              command.out.c_str());
  return kDone;
}

int export_shards(const RoundExportCommand& command) {
  const auto next = load_next_round(*command.next);
  if (!next) return report(next.error(), kBadInput);
  ExitCode failure = kBadInput;
  const auto fits = [&](const RoundSource& source) { return check_next_round(source, *next); };
  const auto state = collect_state(command, parts_of(command), fits, failure);
  if (!state) return report(state.error(), failure);
  const auto made = cut_beginning(*state, *next, command.out);
  if (!made) return report(made.error(), kFailed);
  std::error_code ec;
  fs::remove_all(parts_of(command), ec);
  const node::RoundFile& round = made->round;
  const std::uint64_t step = round.beginning->step.value;
  if (command.json) {
    const nlohmann::ordered_json json{
        {"model", round.model.name},      {"step", step},
        {"stages", round.model.stages()}, {"out", command.out.string()},
        {"round", made->file.string()},   {"checkpoints", made->checkpoints.string()},
        {"differs", made->differs}};
    std::printf("%s\n", json.dump().c_str());
    return kDone;
  }
  std::printf("%s: step %llu of %s, cut into the %u stages of %s\n", command.out.c_str(),
              static_cast<unsigned long long>(step), state->source.loaded.round.model.name.c_str(),
              round.model.stages(), round.model.name.c_str());
  if (!made->differs.empty())
    std::printf("It trains another way than before: [training] differs in %s.\n",
                made->differs.c_str());
  std::printf("Launch it:\n  coshard round launch %s\n", made->file.c_str());
  return kDone;
}

}  // namespace

int run(const RoundExportCommand& command) {
  if (command.next.has_value() != (command.format == "shards"))
    return report({ErrorCode::kInvalidArgument,
                   "round export: expected --for FILE with --format shards, and with no other"},
                  kBadInput);
  if (const auto out = check_out(command.out); !out) return report(out.error(), kBadInput);
  return command.next ? export_shards(command) : export_hf(command);
}

}  // namespace coshard::cli
