// See model_json.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/checkpoint/model_json.h"

#include <limits>
#include <utility>

#include "shard/data/json.h"

namespace coshard::shard {
namespace {

constexpr std::pair<const char*, std::int64_t ModelSpec::*> kSizes[] = {
    {"hidden", &ModelSpec::hidden},         {"layers", &ModelSpec::layers},
    {"heads", &ModelSpec::heads},           {"kv_heads", &ModelSpec::kv_heads},
    {"ffn_hidden", &ModelSpec::ffn_hidden}, {"vocab", &ModelSpec::vocab},
    {"sequence", &ModelSpec::sequence}};

}  // namespace

std::string model_json(const ModelSpec& spec) {
  Json::Object members;
  for (const auto& [name, member] : kSizes) members.emplace_back(name, spec.*member);
  members.emplace_back("rope_theta", spec.rope_theta);
  members.emplace_back("norm_eps", spec.norm_eps);
  return Json(std::move(members)).text();
}

Result<ModelSpec> parse_model_json(std::string_view text) {
  COSHARD_ASSIGN(const Json json, Json::parse(text));
  ModelSpec spec;
  for (const auto& [name, member] : kSizes) {
    COSHARD_ASSIGN(const std::uint64_t value, json.natural_at(name));
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      return fail(ErrorCode::kInvalidArgument, std::string(name) + " is absurd");
    spec.*member = static_cast<std::int64_t>(value);
  }
  COSHARD_ASSIGN(spec.rope_theta, json.number_at("rope_theta"));
  COSHARD_ASSIGN(spec.norm_eps, json.number_at("norm_eps"));
  COSHARD_TRY(validate(spec));
  return spec;
}

}  // namespace coshard::shard
