// See round_recut.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/cli/round_recut.h"

#include <system_error>
#include <utility>

#include "ledger/checkpoint.h"
#include "node/checkpoint_path.h"
#include "shard/checkpoint/model_json.h"
#include "shard/checkpoint/whole_checkpoint.h"
#include "shard/data/file.h"

namespace coshard::cli {
namespace {

namespace fs = std::filesystem;

/// What must be equal for the new round to take the very steps that the old one would have taken.
std::string differences(const node::TrainingSection& a, const node::TrainingSection& b) {
  const std::pair<const char*, bool> keys[] = {
      {"steps", a.steps == b.steps},
      {"microbatches", a.microbatches == b.microbatches},
      {"microbatch_sequences", a.microbatch_sequences == b.microbatch_sequences},
      {"optimizer", a.optimizer == b.optimizer},
      {"precision", a.precision == b.precision},
      {"seed", a.seed == b.seed}};
  std::string text;
  for (const auto& [key, same] : keys)
    if (!same) text += (text.empty() ? "" : ", ") + std::string(key);
  return text;
}

Result<void> make_folder(const fs::path& folder) {
  std::error_code failure;
  fs::create_directories(folder, failure);
  if (!failure) return {};
  return fail(ErrorCode::kPermissionDenied,
              folder.string() + ": cannot be made: " + failure.message());
}

}  // namespace

Result<node::LoadedRound> load_next_round(const fs::path& file) {
  COSHARD_ASSIGN(node::LoadedRound next, node::load_round(file));
  if (!next.round.beginning) return next;
  return fail(ErrorCode::kInvalidArgument,
              file.string() +
                  ": expected a round file without [beginning], which this command "
                  "writes, found one from step " +
                  std::to_string(next.round.beginning->step.value));
}

Result<void> check_next_round(const RoundSource& source, const node::LoadedRound& next) {
  const node::RoundFile& from = source.loaded.round;
  const node::RoundFile& to = next.round;
  if (to.model.spec != from.model.spec)
    return fail(ErrorCode::kInvalidArgument, "the new round's [model]: expected that of " +
                                                 from.model.name + ", " +
                                                 shard::model_json(from.model.spec) + "; found " +
                                                 shard::model_json(to.model.spec));
  if (to.training.steps <= source.record.step.value)
    return fail(ErrorCode::kInvalidArgument, "the new round's training.steps: expected more than " +
                                                 std::to_string(source.record.step.value) +
                                                 ", the step of the checkpoint, found " +
                                                 std::to_string(to.training.steps));
  COSHARD_ASSIGN(const std::string origin, ledger::make_origin(to.ledger.domain, to.model.name));
  if (origin == source.origin)
    return fail(ErrorCode::kInvalidArgument,
                "the new round's model.name: expected another than " + from.model.name +
                    ", since its ledger is a log of its own and needs a name of its own");
  return {};
}

Result<Recut> cut_beginning(const RoundState& state, const node::LoadedRound& next,
                            const fs::path& out) {
  COSHARD_ASSIGN(const auto whole, shard::WholeCheckpoint::open(state.files));
  Recut made{next.round, out / "round.toml", out / "checkpoints",
             differences(state.source.loaded.round.training, next.round.training)};
  made.round.data.manifest = node::manifest_path(next.round, next.folder).string();
  node::BeginningSection& beginning = made.round.beginning.emplace();
  beginning.network = state.source.network;
  beginning.step = whole.step();
  for (std::uint32_t s = 0; s < next.round.model.stages(); ++s) {
    const fs::path file = node::checkpoint_path(made.checkpoints, whole.step(), StageIndex(s));
    COSHARD_TRY(make_folder(file.parent_path()));
    COSHARD_ASSIGN(const auto cut, whole.cut(next.round.model.slices[s], StageIndex(s), file));
    beginning.shards.push_back({cut.hashes.file, cut.bytes});
  }
  COSHARD_TRY(shard::write_atomically(made.file, as_bytes(node::to_toml(made.round))));
  return made;
}

}  // namespace coshard::cli
