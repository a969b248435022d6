// See stage_checkpoint.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/checkpoint/stage_checkpoint.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>

#include "protocol/base/check.h"
#include "protocol/base/limits.h"
#include "shard/checkpoint/model_json.h"
#include "shard/checkpoint/state_hash.h"
#include "shard/data/json.h"

namespace coshard::shard {
namespace {

constexpr std::string_view kFormat = "stage-checkpoint-1";
constexpr std::array kKinds{StateKind::kWeight, StateKind::kMomentM, StateKind::kMomentV};

ByteView bytes_of(std::span<const float> floats) {
  return {reinterpret_cast<const std::uint8_t*>(floats.data()), floats.size_bytes()};
}

SafetensorsMetadata metadata_of(const StageCheckpointInfo& info) {
  const Json slice = Json::Object{{"first_layer", info.slice.first_layer},
                                  {"last_layer", info.slice.last_layer},
                                  {"has_embedding", info.slice.has_embedding},
                                  {"has_head", info.slice.has_head}};
  return {{"coshard.format", std::string(kFormat)},
          {"coshard.step", std::to_string(info.step.value)},
          {"coshard.stage", std::to_string(info.stage.value)},
          {"coshard.slice", slice.text()},
          {"coshard.model", model_json(info.model)}};
}

Result<std::string> text_at(const SafetensorsMetadata& metadata, const std::string& key) {
  const auto found = metadata.find(key);
  if (found != metadata.end()) return found->second;
  return fail(ErrorCode::kCorruption, "expected metadata " + key + ", found none");
}

Result<std::uint64_t> number_at(const SafetensorsMetadata& metadata, const std::string& key,
                                std::uint64_t max) {
  COSHARD_ASSIGN(const std::string text, text_at(metadata, key));
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value > max)
    return fail(ErrorCode::kCorruption, "metadata " + key + ": expected 0 to " +
                                            std::to_string(max) + ", found " + text.substr(0, 32));
  return value;
}

Result<StageSlice> slice_at(const SafetensorsMetadata& metadata, const ModelSpec& model) {
  COSHARD_ASSIGN(const std::string text, text_at(metadata, "coshard.slice"));
  COSHARD_ASSIGN(const Json json, Json::parse(text));
  COSHARD_ASSIGN(const std::uint64_t first, json.natural_at("first_layer"));
  COSHARD_ASSIGN(const std::uint64_t last, json.natural_at("last_layer"));
  const Json* embedding = json.find("has_embedding");
  const Json* head = json.find("has_head");
  if (first > last || last > static_cast<std::uint64_t>(model.layers) || embedding == nullptr ||
      embedding->boolean() == nullptr || head == nullptr || head->boolean() == nullptr)
    return fail(ErrorCode::kCorruption, "metadata coshard.slice: expected a slice of " +
                                            std::to_string(model.layers) + " layers");
  return StageSlice{static_cast<std::int64_t>(first), static_cast<std::int64_t>(last),
                    *embedding->boolean(), *head->boolean()};
}

Result<StageCheckpointInfo> info_of(const SafetensorsMetadata& metadata) {
  COSHARD_ASSIGN(const std::string format, text_at(metadata, "coshard.format"));
  if (format != kFormat)
    return fail(ErrorCode::kCorruption,
                "expected format " + std::string(kFormat) + ", found " + format.substr(0, 32));
  StageCheckpointInfo info;
  COSHARD_ASSIGN(const std::string model, text_at(metadata, "coshard.model"));
  COSHARD_ASSIGN(info.model, parse_model_json(model));
  COSHARD_ASSIGN(info.slice, slice_at(metadata, info.model));
  COSHARD_ASSIGN(info.step.value, number_at(metadata, "coshard.step", limits::kStepsMax));
  COSHARD_ASSIGN(const std::uint64_t stage,
                 number_at(metadata, "coshard.stage", limits::kStagesMax - 1));
  info.stage = StageIndex(static_cast<std::uint32_t>(stage));
  return info;
}

/// Every tensor that the slice has, with its shape, and no other.
Result<void> check_tensors(const SafetensorsFile& file,
                           const std::vector<ParameterSpec>& parameters) {
  for (const ParameterSpec& parameter : parameters) {
    for (const StateKind kind : kKinds) {
      COSHARD_ASSIGN(const TensorEntry* tensor, file.find(state_name(kind, parameter.name)));
      if (tensor->type != StorageType::kF32 || tensor->shape != parameter.shape)
        return fail(ErrorCode::kCorruption,
                    "tensor " + tensor->name + " has another type or shape than the model says");
    }
  }
  if (file.tensors().size() != parameters.size() * kKinds.size())
    return fail(ErrorCode::kCorruption,
                "expected " + std::to_string(parameters.size() * kKinds.size()) +
                    " tensors, found " + std::to_string(file.tensors().size()));
  return {};
}

}  // namespace

std::string state_name(StateKind kind, const std::string& parameter) {
  switch (kind) {
    case StateKind::kWeight:
      return parameter;
    case StateKind::kMomentM:
      return "adamw.m/" + parameter;
    case StateKind::kMomentV:
      return "adamw.v/" + parameter;
  }
  COSHARD_UNREACHABLE();
}

Result<StageCheckpointHashes> write_stage_checkpoint(const std::filesystem::path& path,
                                                     const StageCheckpointInfo& info,
                                                     const StateReader& reader) {
  const std::vector<ParameterSpec> list = parameters(info.model, info.slice);
  std::map<std::string, Hash> weights;
  std::vector<TensorSource> tensors;
  for (const StateKind kind : kKinds) {
    for (std::size_t i = 0; i < list.size(); ++i) {
      const auto stream = [&, i, kind](const ByteSink& sink) -> Result<void> {
        TensorHasher hasher;
        COSHARD_TRY(reader(i, kind, [&](std::span<const float> floats) {
          if (kind == StateKind::kWeight) hasher.update(bytes_of(floats));
          return sink(bytes_of(floats));
        }));
        if (kind == StateKind::kWeight) weights[list[i].name] = hasher.finish();
        return {};
      };
      tensors.push_back({state_name(kind, list[i].name), StorageType::kF32, list[i].shape, stream});
    }
  }
  StageCheckpointHashes hashes;
  COSHARD_ASSIGN(hashes.file, write_safetensors(path, tensors, metadata_of(info)));
  hashes.parameters = state_hash(weights);
  return hashes;
}

Result<StageCheckpoint> StageCheckpoint::open(const std::filesystem::path& path) {
  COSHARD_ASSIGN(SafetensorsFile file, SafetensorsFile::open(path, Symlinks::kRefuse));
  const auto torn = [&](const Error& error) {
    return fail(ErrorCode::kCorruption, path.string() + ": no stage checkpoint: " + error.message);
  };
  auto info = info_of(file.metadata());
  if (!info) return torn(info.error());
  std::vector<ParameterSpec> list = coshard::shard::parameters(info->model, info->slice);
  const auto checked = check_tensors(file, list);
  if (!checked) return torn(checked.error());
  return StageCheckpoint(std::move(file), std::move(*info), std::move(list));
}

Result<void> StageCheckpoint::read(std::size_t parameter, StateKind kind, std::uint64_t first,
                                   std::span<float> out) const {
  COSHARD_CHECK_OP(parameter, <, parameters_.size());
  COSHARD_ASSIGN(const TensorEntry* tensor,
                 file_.find(state_name(kind, parameters_[parameter].name)));
  return file_.read_floats(*tensor, first, out);
}

Result<Hash> StageCheckpoint::parameters_hash() const {
  std::map<std::string, Hash> weights;
  std::vector<float> buffer(kStateChunkBytes / sizeof(float));
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    TensorHasher hasher;
    for (std::uint64_t first = 0; first < parameters_[i].elements; first += buffer.size()) {
      const auto part = std::span(buffer).first(static_cast<std::size_t>(
          std::min<std::uint64_t>(buffer.size(), parameters_[i].elements - first)));
      COSHARD_TRY(read(i, StateKind::kWeight, first, part));
      hasher.update(bytes_of(part));
    }
    weights[parameters_[i].name] = hasher.finish();
  }
  return state_hash(weights);
}

}  // namespace coshard::shard
