// See round_file.h: the rules of a round file, section by section.
// SPDX-License-Identifier: Apache-2.0
#include "node/round_file.h"

#include <algorithm>
#include <array>

#include "node/round_file_ownership.h"
#include "node/toml_reader.h"
#include "shard/plan/partition.h"

namespace coshard::node {
namespace {

constexpr std::int64_t kInt64Max = INT64_MAX;
constexpr std::int64_t kDimensionMax = std::int64_t{1} << 24;
constexpr std::size_t kNameCharactersMax = 64;
constexpr std::size_t kDomainCharactersMax = 128;
constexpr std::uint64_t kFloatBytes = 4;

bool is_lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

/// Characters that are safe in a file name, an origin and a URL alike; starts with a letter or
/// digit.
bool is_plain_name(std::string_view text, std::string_view extra, std::size_t longest) {
  return !text.empty() && text.size() <= longest && is_lower_or_digit(text.front()) &&
         is_lower_or_digit(text.back()) && std::all_of(text.begin(), text.end(), [&](char c) {
           return is_lower_or_digit(c) || extra.find(c) != std::string_view::npos;
         });
}

void read_sizes(const TomlReader& reader, Presence presence, shard::ModelSpec& spec) {
  const auto size = [&](std::string_view key, std::int64_t& out) {
    reader.integer(key, presence, 1, kDimensionMax, out);
  };
  size("hidden", spec.hidden);
  size("layers", spec.layers);
  size("heads", spec.heads);
  size("kv_heads", spec.kv_heads);
  size("ffn_hidden", spec.ffn_hidden);
  size("vocab", spec.vocab);
  size("sequence", spec.sequence);
  reader.number(
      "rope_theta", "a number over 0 up to 1e12", [](double x) { return x > 0 && x <= 1e12; },
      spec.rope_theta);
  reader.number(
      "norm_eps", "a number over 0 and under 1", [](double x) { return x > 0 && x < 1; },
      spec.norm_eps);
}

/// Relations between sizes are shard's to judge; its "model KEY: WHAT" finds its line here.
void check_sizes(const TomlReader& reader, const shard::ModelSpec& spec) {
  const auto valid = shard::validate(spec);
  if (valid) return;
  std::string_view message = valid.error().message;
  message.remove_prefix(std::min(message.size(), std::string_view("model ").size()));
  const std::string_view key = message.substr(0, message.find(':'));
  reader.problems().report(reader.line_of(key), "model." + std::string(message));
}

void read_stage_count(const TomlReader& reader, ModelSection& model) {
  const std::int64_t most = std::min<std::int64_t>(model.spec.layers, limits::kStagesMax);
  const std::string what = "1 to " + std::to_string(most) +
                           " stages (each needs one of the model's " +
                           std::to_string(model.spec.layers) + " layers)";
  const auto* count = std::get_if<std::int64_t>(&reader.find("stages")->value);
  if (*count < 1 || *count > most) return reader.expected("stages", what);
  auto slices = shard::partition(model.spec, static_cast<std::uint32_t>(*count));
  if (!slices) return reader.expected("stages", what);
  model.slices = std::move(*slices);
}

void read_stage_list(const TomlReader& reader, const TomlArray& list, ModelSection& model) {
  const std::string what = "one layer or more for each of at most " +
                           std::to_string(limits::kStagesMax) + " stages, " +
                           std::to_string(model.spec.layers) + " in all";
  std::string found;
  std::vector<std::int64_t> layers;
  for (const TomlValue& item : list) {
    found += (found.empty() ? "[" : ", ") + describe(item);
    if (const auto* count = std::get_if<std::int64_t>(&item.value)) layers.push_back(*count);
    if (found.size() > limits::kTextBytesMax) break;
  }
  found += found.empty() ? "[]" : "]";
  if (layers.size() != list.size()) return reader.expected("stages", what, found);
  auto slices = shard::partition(model.spec, layers);
  if (!slices) return reader.expected("stages", what, found);
  model.slices = std::move(*slices);
  model.layers_per_stage = std::move(layers);
}

void read_stages(const TomlReader& reader, ModelSection& model) {
  const TomlValue* stages = reader.find("stages");
  if (stages != nullptr && std::holds_alternative<std::int64_t>(stages->value))
    return read_stage_count(reader, model);
  if (stages != nullptr && std::holds_alternative<TomlArray>(stages->value))
    return read_stage_list(reader, std::get<TomlArray>(stages->value), model);
  reader.expected("stages", "a number of stages or a list of layers per stage");
}

void read_model(const TomlReader& file, ModelSection& model) {
  const TomlValue* section = file.table("model", Presence::kRequired);
  if (section == nullptr) return;
  const TomlReader reader(std::get<TomlTable>(section->value), "model", section->line,
                          {"name", "preset", "hidden", "layers", "heads", "kv_heads", "ffn_hidden",
                           "vocab", "sequence", "rope_theta", "norm_eps", "stages", "weights"},
                          file.problems());
  constexpr std::string_view kName = "a name of lower-case letters, digits and \"-\" of at most 64";
  reader.text("name", Presence::kRequired, kName, model.name);
  if (!is_plain_name(model.name, "-", kNameCharactersMax)) reader.expected("name", kName);
  if (reader.has("preset")) {
    const auto names = shard::preset_names();
    if (const auto at = reader.choice("preset", Presence::kRequired, names))
      model.spec = *shard::preset(names[*at]);
  }
  read_sizes(reader, reader.has("preset") ? Presence::kOptional : Presence::kRequired, model.spec);
  if (file.problems().any()) return;
  check_sizes(reader, model.spec);
  if (!file.problems().any()) read_stages(reader, model);
  constexpr std::array<std::string_view, 2> kWeights{"open", "protected"};
  if (const auto at = reader.choice("weights", Presence::kOptional, kWeights))
    model.weights = static_cast<Weights>(*at);
}

void read_data(const TomlReader& file, DataSection& data) {
  const TomlValue* section = file.table("data", Presence::kRequired);
  if (section == nullptr) return;
  const TomlReader reader(std::get<TomlTable>(section->value), "data", section->line, {"manifest"},
                          file.problems());
  constexpr std::string_view kPath =
      "the path of a manifest.json (coshard data prepare writes one)";
  reader.text("manifest", Presence::kRequired, kPath, data.manifest);
  if (data.manifest.empty() || data.manifest.size() > limits::kTextBytesMax ||
      data.manifest.find('\0') != std::string::npos)
    reader.expected("manifest", kPath);
}

void read_optimizer(const TomlReader& training, std::uint64_t steps, OptimizerSettings& out) {
  const TomlValue* section = training.table("optimizer", Presence::kOptional);
  if (section == nullptr) return;
  const TomlReader reader(
      std::get<TomlTable>(section->value), "training.optimizer", section->line,
      {"name", "lr", "betas", "eps", "weight_decay", "clip_norm", "warmup", "schedule"},
      training.problems());
  constexpr std::array<std::string_view, 1> kNames{"adamw"};
  (void)reader.choice("name", Presence::kOptional, kNames);
  reader.number(
      "lr", "a number over 0 up to 10", [](double x) { return x > 0 && x <= 10; }, out.lr);
  if (const auto* betas =
          reader.get<TomlArray>("betas", Presence::kOptional, "two numbers from 0 to under 1")) {
    std::vector<double> values;
    for (const TomlValue& item : *betas) {
      const auto* value = std::get_if<double>(&item.value);
      const auto* zero = std::get_if<std::int64_t>(&item.value);
      if (value != nullptr && *value >= 0 && *value < 1) values.push_back(*value);
      if (zero != nullptr && *zero == 0) values.push_back(0);
    }
    if (betas->size() != 2 || values.size() != 2)
      return reader.expected("betas", "two numbers from 0 to under 1");
    out.beta1 = values[0];
    out.beta2 = values[1];
  }
  reader.number(
      "eps", "a number over 0 up to 1", [](double x) { return x > 0 && x <= 1; }, out.eps);
  reader.number(
      "weight_decay", "a number from 0 to 10", [](double x) { return x >= 0 && x <= 10; },
      out.weight_decay);
  reader.number(
      "clip_norm", "a number from 0 (no clipping) to 1e9",
      [](double x) { return x >= 0 && x <= 1e9; }, out.clip_norm);
  reader.integer("warmup", Presence::kOptional, 0, static_cast<std::int64_t>(steps), out.warmup);
  constexpr std::array<std::string_view, 2> kDecays{"constant", "cosine"};
  if (const auto at = reader.choice("schedule", Presence::kOptional, kDecays))
    out.decay = static_cast<LrDecay>(*at);
}

/// A boundary tensor travels as one payload frame.
void check_boundary_fits(const TomlReader& reader, const shard::ModelSpec& spec,
                         std::uint32_t sequences) {
  const auto sequence_bytes = static_cast<std::uint64_t>(spec.sequence) *
                              static_cast<std::uint64_t>(spec.hidden) * kFloatBytes;
  const std::uint64_t most = limits::kPayloadBytesMax / std::max<std::uint64_t>(sequence_bytes, 1);
  if (sequences <= most) return;
  reader.expected("microbatch_sequences", "at most " + std::to_string(most) + " sequences of " +
                                              std::to_string(sequence_bytes) +
                                              " bytes, so that a boundary tensor fits in " +
                                              std::to_string(limits::kPayloadBytesMax) + " bytes");
}

void read_training(const TomlReader& file, const shard::ModelSpec& spec, TrainingSection& out) {
  const TomlValue* section = file.table("training", Presence::kRequired);
  if (section == nullptr) return;
  const TomlReader reader(std::get<TomlTable>(section->value), "training", section->line,
                          {"steps", "microbatches", "microbatch_sequences", "optimizer",
                           "precision", "seed", "schedule_order", "checkpoint_epochs", "recompute"},
                          file.problems());
  reader.integer("steps", Presence::kRequired, 1, std::int64_t{limits::kStepsMax}, out.steps);
  reader.integer("microbatches", Presence::kRequired, 1, limits::kMicrobatchesMax,
                 out.microbatches);
  reader.integer("microbatch_sequences", Presence::kRequired, 1, kDimensionMax,
                 out.microbatch_sequences);
  if (file.problems().any()) return;
  check_boundary_fits(reader, spec, out.microbatch_sequences);
  read_optimizer(reader, out.steps, out.optimizer);
  constexpr std::array<std::string_view, 3> kPrecisions{"auto", "fp32", "bf16"};
  if (const auto at = reader.choice("precision", Presence::kOptional, kPrecisions))
    out.precision = static_cast<Precision>(*at);
  reader.integer("seed", Presence::kOptional, 0, kInt64Max, out.seed);
  constexpr std::array<std::string_view, 2> kOrders{"1f1b", "gpipe"};
  if (const auto at = reader.choice("schedule_order", Presence::kOptional, kOrders))
    out.order = static_cast<WorkOrder>(*at);
  reader.integer("checkpoint_epochs", Presence::kOptional, 1, kInt64Max, out.checkpoint_epochs);
  reader.flag("recompute", out.recompute);
}

void read_boundary(const TomlReader& file) {
  const TomlValue* section = file.table("boundary", Presence::kOptional);
  if (section == nullptr) return;
  const TomlReader reader(std::get<TomlTable>(section->value), "boundary", section->line,
                          {"compression"}, file.problems());
  constexpr std::array<std::string_view, 1> kCodecs{"none"};
  (void)reader.choice("compression", Presence::kOptional, kCodecs);
}

void read_allow_list(const TomlReader& reader, AdmissionSection& out) {
  constexpr std::string_view kAllow =
      "a list of node ids of 64 hexadecimal digits (coshard keygen)";
  const TomlArray* list = reader.get<TomlArray>("allow", Presence::kRequired, kAllow);
  if (list == nullptr) return;
  if (list->empty() || list->size() > limits::kPeersMax)
    return reader.expected("allow", "1 to " + std::to_string(limits::kPeersMax) + " node ids",
                           std::to_string(list->size()));
  out.open = false;
  for (const TomlValue& item : *list) {
    const auto* hex = std::get_if<std::string>(&item.value);
    const auto bytes = to_array<32>(from_hex(hex != nullptr ? *hex : "").value_or(Bytes{}));
    if (!bytes) return reader.expected("allow", kAllow, describe(item));
    out.allow.push_back(NodeId{*bytes});
  }
}

void read_admission(const TomlReader& file, std::uint32_t stages, AdmissionSection& out) {
  const TomlValue* section = file.table("admission", Presence::kOptional);
  if (section == nullptr) return;
  const TomlReader reader(std::get<TomlTable>(section->value), "admission", section->line,
                          {"mode", "allow", "replicas", "replicas_max"}, file.problems());
  if (reader.has("mode") && reader.has("allow"))
    return reader.expected("allow", "either mode = \"open\" or a list", "both");
  constexpr std::array<std::string_view, 1> kModes{"open"};
  (void)reader.choice("mode", Presence::kOptional, kModes);
  if (reader.has("allow")) read_allow_list(reader, out);
  const std::size_t most =
      std::min<std::size_t>(limits::kReplicasMax, limits::kPeersMax / std::max(stages, 1U));
  reader.integer("replicas", Presence::kOptional, 1, static_cast<std::int64_t>(most), out.replicas);
  out.replicas_max = out.replicas;
  reader.integer("replicas_max", Presence::kOptional, out.replicas, static_cast<std::int64_t>(most),
                 out.replicas_max);
}

void read_ledger(const TomlReader& file, LedgerSection& out) {
  const TomlValue* section = file.table("ledger", Presence::kOptional);
  if (section == nullptr) return;
  const TomlReader reader(std::get<TomlTable>(section->value), "ledger", section->line,
                          {"domain", "epoch_steps"}, file.problems());
  constexpr std::string_view kDomain =
      "a domain name of lower-case letters, digits, \".\" and \"-\"";
  reader.text("domain", Presence::kOptional, kDomain, out.domain);
  if (!is_plain_name(out.domain, ".-", kDomainCharactersMax)) reader.expected("domain", kDomain);
  reader.integer("epoch_steps", Presence::kOptional, 1, std::int64_t{limits::kStepsMax},
                 out.epoch_steps);
}

/// 32 bytes as 64 hexadecimal digits.
template <class Out>
void read_digits(const TomlReader& reader, std::string_view key, std::string_view what, Out take) {
  std::string hex;
  reader.text(key, Presence::kRequired, what, hex);
  const auto bytes = to_array<32>(from_hex(hex).value_or(Bytes{}));
  bytes ? take(*bytes) : reader.expected(key, what);
}

void read_beginning(const TomlReader& file, const RoundFile& round,
                    std::optional<BeginningSection>& out) {
  const TomlValue* section = file.table("beginning", Presence::kOptional);
  if (section == nullptr || file.problems().any()) return;
  const TomlReader reader(std::get<TomlTable>(section->value), "beginning", section->line,
                          {"network", "step", "shards"}, file.problems());
  BeginningSection& beginning = out.emplace();
  read_digits(reader, "network", "a network id of 64 hexadecimal digits",
              [&](const auto& bytes) { beginning.network = NetworkId{bytes}; });
  reader.integer("step", Presence::kRequired, 1, std::int64_t{limits::kStepsMax},
                 beginning.step.value);
  if (beginning.step.value >= round.training.steps)
    reader.expected(
        "step", "a step before training.steps, which is " + std::to_string(round.training.steps));
  const std::string what = "a list of { sha256, bytes }, one for each of " +
                           std::to_string(round.model.stages()) + " stages";
  const TomlArray* list = reader.get<TomlArray>("shards", Presence::kRequired, what);
  if (list == nullptr) return;
  if (list->size() != round.model.stages())
    return reader.expected("shards", what, std::to_string(list->size()));
  for (const TomlValue& item : *list) {
    const auto* table = std::get_if<TomlTable>(&item.value);
    if (table == nullptr) return reader.expected("shards", what, describe(item));
    const TomlReader inner(*table, "beginning.shards", item.line, {"sha256", "bytes"},
                           reader.problems());
    BeginningShard shard;
    read_digits(inner, "sha256", "a SHA-256 of 64 hexadecimal digits",
                [&](const auto& bytes) { shard.sha256 = bytes; });
    inner.integer("bytes", Presence::kRequired, 1, kInt64Max, shard.bytes);
    beginning.shards.push_back(shard);
  }
}

}  // namespace

Result<RoundFile> parse_round(std::string_view text, std::string_view file_name) {
  if (text.size() > limits::kRoundFileBytesMax)
    return fail(ErrorCode::kResourceExhausted, std::string(file_name) +
                                                   ": expected a round file of at most " +
                                                   std::to_string(limits::kRoundFileBytesMax) +
                                                   " bytes, found " + std::to_string(text.size()));
  COSHARD_ASSIGN(const TomlTable document, parse_toml(text, file_name));
  TomlProblems problems(file_name);
  const TomlReader file(
      document, "", 1,
      {"model", "data", "training", "boundary", "ownership", "admission", "ledger", "beginning"},
      problems);
  RoundFile round;
  read_model(file, round.model);
  read_data(file, round.data);
  read_training(file, round.model.spec, round.training);
  read_boundary(file);
  read_ownership(file, round.ownership);
  read_admission(file, round.model.stages(), round.admission);
  read_ledger(file, round.ledger);
  read_beginning(file, round, round.beginning);
  COSHARD_TRY(problems.result());
  return round;
}

}  // namespace coshard::node
