// Planning and raising a stage.
// SPDX-License-Identifier: Apache-2.0
#include "node/daemon/stage_host.h"

#include <algorithm>
#include <charconv>
#include <fstream>

#include "node/round_setup.h"
#include "protocol/base/failpoint.h"
#include "protocol/base/quantity.h"
#include "shard/data/file.h"
#include "shard/data/manifest.h"

namespace coshard::node {

namespace {

/// The number in `name` between `prefix` and `suffix`.
std::optional<std::uint64_t> number_between(std::string_view name, std::string_view prefix,
                                            std::string_view suffix) {
  if (!name.starts_with(prefix) || !name.ends_with(suffix) ||
      name.size() <= prefix.size() + suffix.size())
    return std::nullopt;
  name.remove_prefix(prefix.size());
  name.remove_suffix(suffix.size());
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return number;
}

using StepFolder = std::pair<std::uint64_t, std::filesystem::path>;

/// "step-00000020" and the like, newest first.
std::vector<StepFolder> step_folders(const std::filesystem::path& checkpoints) {
  std::error_code none;
  std::vector<StepFolder> folders;
  for (const auto& entry : std::filesystem::directory_iterator(checkpoints, none)) {
    if (const auto step = number_between(entry.path().filename().string(), "step-", ""))
      folders.emplace_back(*step, entry.path());
  }
  std::sort(folders.rbegin(), folders.rend());
  return folders;
}

/// The manifest with shard paths that are right on this box.
Result<std::string> localized_manifest(const std::string& text, const std::filesystem::path& data) {
  COSHARD_ASSIGN(shard::Manifest manifest, shard::parse_manifest(text));
  for (shard::ShardEntry& entry : manifest.shards) {
    if (std::filesystem::path(entry.path).is_relative())
      entry.path = (std::filesystem::absolute(data) / entry.path).string();
  }
  return shard::manifest_text(manifest);
}

/// For people: what this box is used for, and what is left.
std::string what_is_held(const StagePlan& plan, const shard::MemoryPlan& bill, bool card,
                         std::uint64_t memory_bytes) {
  const shard::StageSlice& slice = plan.engine.slice;
  std::string text = card ? "this card holds " : "this box holds ";
  if (slice.has_embedding) text += "the embedding, ";
  text += slice.layers() == 1 ? "layer " + std::to_string(slice.first_layer)
                              : "layers " + std::to_string(slice.first_layer) + "-" +
                                    std::to_string(slice.last_layer - 1);
  if (slice.has_head) text += " and the head";
  text += " at microbatch " + std::to_string(plan.round.training.microbatch_sequences);
  if (memory_bytes > 0) text += ", " + bytes_text(memory_bytes - bill.total()) + " spare";
  return text;
}

}  // namespace

std::uint64_t available_memory_bytes() {
  std::ifstream lines("/proc/meminfo");
  std::string name;
  for (std::uint64_t kibibytes = 0; lines >> name >> kibibytes; lines.ignore(64, '\n'))
    if (name == "MemAvailable:") return kibibytes << 10;
  return 0;
}

std::vector<HeldCheckpoint> held_checkpoints(const std::filesystem::path& checkpoints) {
  std::error_code none;
  auto folders = step_folders(checkpoints);
  if (folders.size() > limits::kCheckpointsHeld) folders.resize(limits::kCheckpointsHeld);
  std::vector<HeldCheckpoint> held;
  for (const auto& [step, folder] : folders) {
    for (const auto& entry : std::filesystem::directory_iterator(folder, none)) {
      const auto stage = number_between(entry.path().filename().string(), "stage-", ".safetensors");
      if (!stage || *stage >= limits::kStagesMax) continue;
      const auto file = shard::ReadFile::open(entry.path(), shard::Symlinks::kRefuse);
      if (!file) continue;
      const auto hash = file->hash();
      if (hash)
        held.push_back({StageIndex(static_cast<std::uint32_t>(*stage)), StepId(step), *hash});
    }
  }
  return held;
}

void drop_old_checkpoints(const std::filesystem::path& checkpoints, StepId step, StageIndex stage) {
  std::error_code ignored;
  std::size_t kept = 0;
  for (const auto& [number, folder] : step_folders(checkpoints)) {
    if (number > step.value) continue;  // of a future that was rolled back
    const auto file = checkpoint_path(checkpoints, StepId(number), stage);
    if (!std::filesystem::exists(file, ignored)) continue;
    if (++kept <= limits::kCheckpointsHeld) continue;
    std::filesystem::remove(file, ignored);
    std::filesystem::remove(folder, ignored);  // only when it is empty
  }
}

Result<StagePlan> plan_stage(const Welcome& welcome, const RoundPackage& package,
                             const StageSite& site) {
  StagePlan plan;
  COSHARD_ASSIGN(plan.round, parse_round(package.round_text, "the coordinator's round file"));
  const RoundFile& round = plan.round;
  if (welcome.stage.value >= round.model.stages())
    return fail(ErrorCode::kInvalidArgument, "expected a stage below " +
                                                 std::to_string(round.model.stages()) + ", found " +
                                                 std::to_string(welcome.stage.value));
  const bool card = site.device.kind == shard::DeviceKind::kCuda;
  plan.engine = shard::StageConfig{
      .spec = round.model.spec,
      .slice = round.model.slices[welcome.stage.value],
      .stage = welcome.stage,
      .seed = round.training.seed,
      .precision = computes_bf16(round, card) ? shard::Precision::kBf16 : shard::Precision::kFp32,
      .device = site.device,
      .threads = site.threads,
      .recompute_activations = round.training.recompute,
      .stashes_max = round.training.microbatches,
  };
  const shard::MemoryPlan bill = stage_bill(round, welcome.stage.value, card);
  if (site.memory_bytes > 0) COSHARD_TRY(shard::check_memory(bill, site.memory_bytes));
  plan.held = what_is_held(plan, bill, card, site.memory_bytes);
  plan.order = token_order(round);
  plan.manifest = site.directory / "manifest.json";
  plan.manifest_text = package.manifest_text;
  plan.data = site.data;
  if (welcome.resume_step.value > 0) {
    plan.checkpoint = checkpoint_path(site.checkpoints, welcome.resume_step, welcome.stage);
    plan.checkpoint_hash = welcome.resume_file_hash;
  }
  return plan;
}

Result<RaisedStage> raise_stage(EngineHome& home, const StagePlan& plan) {
  COSHARD_FAILPOINT("stage.raise");
  COSHARD_ASSIGN(const std::string manifest, localized_manifest(plan.manifest_text, plan.data));
  COSHARD_TRY(shard::write_atomically(plan.manifest, as_bytes(manifest)));
  COSHARD_ASSIGN(home.tokens, shard::TokenSource::open(plan.manifest, plan.order));
  COSHARD_ASSIGN(home.codec, shard::boundary_codec(plan.round.boundary.compression));
  home.hidden = plan.engine.spec.hidden;
  COSHARD_ASSIGN(home.engine, shard::make_stage_engine(plan.engine));
  if (!plan.checkpoint.empty()) {
    COSHARD_ASSIGN(const shard::ReadFile file,
                   shard::ReadFile::open(plan.checkpoint, shard::Symlinks::kRefuse));
    COSHARD_ASSIGN(const Hash hash, file.hash());
    if (hash != plan.checkpoint_hash)
      return fail(ErrorCode::kCorruption,
                  "checkpoint " + plan.checkpoint.string() + " is damaged: expected SHA-256 " +
                      to_hex(plan.checkpoint_hash) + ", found " + to_hex(hash));
    COSHARD_TRY(home.engine->load(plan.checkpoint));
  }
  COSHARD_ASSIGN(const Fingerprint digest, home.engine->fingerprint({}));
  RaisedStage raised{{.shape = round_shape(plan.round),
                      .schedule = round_schedule(plan.round),
                      .chunks = static_cast<std::uint32_t>(home.engine->layout().size()),
                      .digest = digest},
                     {}};
  for (const shard::GradientChunk& chunk : home.engine->layout())
    raised.chunk_bytes.push_back(chunk.count * sizeof(float));
  return raised;
}

}  // namespace coshard::node
