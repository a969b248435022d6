// See whole_checkpoint.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/checkpoint/whole_checkpoint.h"

#include <algorithm>
#include <span>
#include <system_error>

namespace coshard::shard {
namespace {

constexpr std::uint64_t kPieceElements = std::uint64_t{1} << 18;

tl::unexpected<Error> invalid(std::string message) {
  return fail(ErrorCode::kInvalidArgument, std::move(message));
}

std::string layers_text(const StageSlice& slice) {
  return "layers " + std::to_string(slice.first_layer) + " to " + std::to_string(slice.last_layer);
}

/// By first layer; an error unless together they are one model at one step.
Result<void> check_whole(const std::vector<StageCheckpoint>& stages) {
  if (stages.empty()) return invalid("expected the checkpoints of all stages, found none");
  const StageCheckpointInfo& first = stages.front().info();
  std::int64_t covered = 0;
  for (const StageCheckpoint& stage : stages) {
    const StageCheckpointInfo& info = stage.info();
    const std::string name = stage.file().path().string();
    if (info.model != first.model) return invalid(name + " is of another model than the others");
    if (info.step != first.step)
      return invalid(name + ": expected step " + std::to_string(first.step.value) +
                     " as in the others, found " + std::to_string(info.step.value));
    if (info.slice.first_layer != covered)
      return invalid("expected a stage that begins at layer " + std::to_string(covered) +
                     ", found " + layers_text(info.slice) + " in " + name);
    covered = info.slice.last_layer;
  }
  if (covered != first.model.layers || !first.slice.has_embedding ||
      !stages.back().info().slice.has_head)
    return invalid("the stages end at layer " + std::to_string(covered) + " of " +
                   std::to_string(first.model.layers) + ", or lack embedding or head");
  return {};
}

}  // namespace

WholeCheckpoint::WholeCheckpoint(std::vector<StageCheckpoint> stages) : stages_(std::move(stages)) {
  for (std::size_t s = 0; s < stages_.size(); ++s)
    for (std::size_t i = 0; i < stages_[s].parameters().size(); ++i)
      place_[stages_[s].parameters()[i].name] = {s, i};
}

Result<WholeCheckpoint> WholeCheckpoint::open(
    const std::vector<std::filesystem::path>& stage_files) {
  std::vector<StageCheckpoint> stages;
  for (const auto& path : stage_files) {
    COSHARD_ASSIGN(StageCheckpoint stage, StageCheckpoint::open(path));
    stages.push_back(std::move(stage));
  }
  std::ranges::stable_sort(
      stages, {}, [](const StageCheckpoint& stage) { return stage.info().slice.first_layer; });
  COSHARD_TRY(check_whole(stages));
  return WholeCheckpoint(std::move(stages));
}

Result<void> WholeCheckpoint::stream(const std::string& name, StateKind kind,
                                     const FloatSink& sink) const {
  const auto [s, index] = place_.at(name);
  const StageCheckpoint& stage = stages_[s];
  const std::uint64_t elements = stage.parameters()[index].elements;
  std::vector<float> piece(static_cast<std::size_t>(std::min(elements, kPieceElements)));
  for (std::uint64_t first = 0; first < elements; first += piece.size()) {
    const auto part = std::span(piece).first(
        static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), elements - first)));
    COSHARD_TRY(stage.read(index, kind, first, part));
    COSHARD_TRY(sink(part));
  }
  return {};
}

Result<CutStage> WholeCheckpoint::cut(const StageSlice& slice, StageIndex stage,
                                      const std::filesystem::path& file) const {
  const std::vector<ParameterSpec> list = parameters(model(), slice);
  CutStage made;
  COSHARD_ASSIGN(made.hashes,
                 write_stage_checkpoint(file, {model(), slice, stage, step()},
                                        [&](std::size_t i, StateKind kind, const FloatSink& sink) {
                                          return stream(list[i].name, kind, sink);
                                        }));
  std::error_code failure;
  made.bytes = std::filesystem::file_size(file, failure);
  if (failure) return fail(ErrorCode::kInternal, file.string() + ": " + failure.message());
  return made;
}

}  // namespace coshard::shard
