// Planning and raising a stage.
// SPDX-License-Identifier: Apache-2.0
#include "node/daemon/stage_host.h"

#include <fstream>

#include "node/round_setup.h"
#include "protocol/base/failpoint.h"
#include "protocol/base/quantity.h"
#include "shard/data/file.h"
#include "shard/data/manifest.h"

namespace coshard::node {

namespace {

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
