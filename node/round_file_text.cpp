// See round_file.h: a round file as text.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <charconv>
#include <fstream>
#include <system_error>

#include "node/amount.h"
#include "node/round_file.h"

namespace coshard::node {
namespace {

std::string number(double value) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return {text.data(), end};
}

std::string quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7F) {
      const std::uint8_t raw = byte;
      out += "\\u00" + to_hex({&raw, 1});
    } else {
      out += c;
    }
  }
  return out + "\"";
}

void line(std::string& out, std::string_view key, const std::string& value) {
  out += std::string(key) + " = " + value + "\n";
}

template <class Integer>
void count(std::string& out, std::string_view key, Integer value) {
  line(out, key, std::to_string(value));
}

std::string recipients(const std::vector<Recipient>& list) {
  std::string out = "[";
  for (const Recipient& recipient : list)
    out += (out.size() > 1 ? ", " : "") + std::string("{ account = ") +
           quote(recipient.account.hex()) +
           ", basis_points = " + std::to_string(recipient.basis_points) + " }";
  return out + "]";
}

void write_model(std::string& out, const ModelSection& model) {
  const shard::ModelSpec& spec = model.spec;
  out += "[model]\n";
  line(out, "name", quote(model.name));
  count(out, "hidden", spec.hidden);
  count(out, "layers", spec.layers);
  count(out, "heads", spec.heads);
  count(out, "kv_heads", spec.kv_heads);
  count(out, "ffn_hidden", spec.ffn_hidden);
  count(out, "vocab", spec.vocab);
  count(out, "sequence", spec.sequence);
  line(out, "rope_theta", number(spec.rope_theta));
  line(out, "norm_eps", number(spec.norm_eps));
  std::string layers;
  for (const std::int64_t n : model.layers_per_stage)
    layers += (layers.empty() ? "[" : ", ") + std::to_string(n);
  line(out, "stages", layers.empty() ? std::to_string(model.stages()) : layers + "]");
  line(out, "weights", model.weights == Weights::kOpen ? "\"open\"" : "\"protected\"");
}

void write_training(std::string& out, const TrainingSection& training) {
  constexpr std::array<std::string_view, 3> kPrecisions{"auto", "fp32", "bf16"};
  const OptimizerSettings& adamw = training.optimizer;
  out += "\n[training]\n";
  count(out, "steps", training.steps);
  count(out, "microbatches", training.microbatches);
  count(out, "microbatch_sequences", training.microbatch_sequences);
  line(out, "optimizer",
       "{ name = \"adamw\", lr = " + number(adamw.lr) + ", betas = [" + number(adamw.beta1) + ", " +
           number(adamw.beta2) + "], eps = " + number(adamw.eps) + ", weight_decay = " +
           number(adamw.weight_decay) + ", clip_norm = " + number(adamw.clip_norm) +
           ", warmup = " + std::to_string(adamw.warmup) + ", schedule = " +
           (adamw.decay == LrDecay::kCosine ? "\"cosine\"" : "\"constant\"") + " }");
  line(out, "precision", quote(kPrecisions[static_cast<std::size_t>(training.precision)]));
  count(out, "seed", training.seed);
  line(out, "schedule_order", training.order == WorkOrder::k1f1b ? "\"1f1b\"" : "\"gpipe\"");
  count(out, "checkpoint_epochs", training.checkpoint_epochs);
  line(out, "recompute", training.recompute ? "true" : "false");
}

void write_ownership(std::string& out, const OwnershipSection& ownership) {
  out += "\n[ownership]\n";
  count(out, "units", ownership.units);
  line(out, "emission",
       ownership.half_life_steps
           ? "{ half_life = " + std::to_string(*ownership.half_life_steps) + " }"
           : std::string("\"constant\""));
  line(out, "split",
       "{ compute = " + std::to_string(ownership.compute) + ", data = " +
           std::to_string(ownership.data) + ", design = " + std::to_string(ownership.design) +
           ", treasury = " + std::to_string(ownership.treasury) + " }");
  line(out, "data", recipients(ownership.data_recipients));
  line(out, "design", recipients(ownership.design_recipients));
  line(out, "treasury", recipients(ownership.treasury_recipients));
  line(out, "currency", quote(ownership.currency));
  line(out, "minimum_payout", quote(format_amount(ownership.minimum_payout)));
  const auto& vesting = ownership.vesting_epochs;
  line(out, "vesting_epochs",
       "{ compute = " + std::to_string(vesting[0]) + ", data = " + std::to_string(vesting[1]) +
           ", design = " + std::to_string(vesting[2]) +
           ", treasury = " + std::to_string(vesting[3]) + " }");
  count(out, "challenge_epochs", ownership.challenge_epochs);
  count(out, "bond_epochs", ownership.bond_epochs);
  count(out, "recovery_days", ownership.recovery_days);
  std::string keys;
  for (const NodeId& key : ownership.governors)
    keys += (keys.empty() ? "" : ", ") + quote(key.hex());
  line(out, "governors", "[" + keys + "]");
  if (!ownership.governors.empty()) count(out, "governors_needed", ownership.governors_needed);
  line(out, "buyer_signs", ownership.buyer_signs ? "true" : "false");
}

void write_admission(std::string& out, const AdmissionSection& admission) {
  out += "\n[admission]\n";
  if (admission.open) {
    line(out, "mode", "\"open\"");
  } else {
    std::string ids;
    for (const NodeId& node : admission.allow)
      ids += (ids.empty() ? "[" : ", ") + quote(node.hex());
    line(out, "allow", ids + "]");
  }
  count(out, "replicas", admission.replicas);
  if (admission.replicas_max != admission.replicas)
    count(out, "replicas_max", admission.replicas_max);
}

void write_beginning(std::string& out, const BeginningSection& beginning) {
  out += "\n[beginning]\n";
  line(out, "network", quote(beginning.network.hex()));
  count(out, "step", beginning.step.value);
  out += "shards = [\n";
  for (const BeginningShard& shard : beginning.shards)
    out += "  { sha256 = " + quote(to_hex(shard.sha256)) +
           ", bytes = " + std::to_string(shard.bytes) + " },\n";
  out += "]\n";
}

}  // namespace

std::string to_toml(const RoundFile& round) {
  std::string out;
  write_model(out, round.model);
  out += "\n[data]\n";
  line(out, "manifest", quote(round.data.manifest));
  write_training(out, round.training);
  out += "\n[boundary]\ncompression = \"none\"\n";
  write_ownership(out, round.ownership);
  write_admission(out, round.admission);
  out += "\n[ledger]\n";
  line(out, "domain", quote(round.ledger.domain));
  count(out, "epoch_steps", round.ledger.epoch_steps);
  if (round.beginning) write_beginning(out, *round.beginning);
  return out;
}

Result<LoadedRound> load_round(const std::filesystem::path& file) {
  std::error_code ec;
  if (!std::filesystem::is_regular_file(file, ec))
    return fail(ErrorCode::kNotFound,
                file.string() + ": expected a round file, found " +
                    (std::filesystem::exists(file, ec) ? "something else" : "nothing"));
  std::ifstream in(file, std::ios::binary);
  if (!in)
    return fail(ErrorCode::kPermissionDenied,
                file.string() + ": expected a readable round file, could not open it");
  LoadedRound loaded;
  loaded.text.resize(limits::kRoundFileBytesMax + 1);
  in.read(loaded.text.data(), static_cast<std::streamsize>(loaded.text.size()));
  loaded.text.resize(static_cast<std::size_t>(in.gcount()));
  COSHARD_ASSIGN(loaded.round, parse_round(loaded.text, file.string()));
  loaded.folder = std::filesystem::absolute(file, ec).parent_path();
  return loaded;
}

}  // namespace coshard::node
