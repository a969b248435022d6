// See hf_config.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/checkpoint/hf_config.h"

#include <utility>

#include "shard/data/json.h"

namespace coshard::shard {
namespace {

tl::unexpected<Error> unsupported(std::string_view key, std::string_view expected,
                                  const Json& found) {
  std::string text = found.text();
  if (text.size() > 60) text = text.substr(0, 60) + "...";
  return fail(ErrorCode::kInvalidArgument, "config.json: \"" + std::string(key) + "\": expected " +
                                               std::string(expected) + ", found " + text);
}

Result<void> expect_text(const Json& json, std::string_view key, std::string_view expected) {
  const Json* found = json.find(key);
  if (found != nullptr && found->string() != nullptr && *found->string() == expected) return {};
  return unsupported(key, "\"" + std::string(expected) + "\"", found != nullptr ? *found : Json());
}

/// Absent and null count as the default.
Result<bool> flag(const Json& json, std::string_view key) {
  const Json* found = json.find(key);
  if (found == nullptr || found->is_null()) return false;
  if (found->boolean() == nullptr) return unsupported(key, "true or false", *found);
  return *found->boolean();
}

Result<std::int64_t> size_or(const Json& json, std::string_view key,
                             std::optional<std::int64_t> otherwise) {
  const Json* found = json.find(key);
  if ((found == nullptr || found->is_null()) && otherwise) return *otherwise;
  if (found == nullptr || found->natural() == nullptr || *found->natural() > 0x7fffffffU)
    return unsupported(key, "a size", found != nullptr ? *found : Json());
  return static_cast<std::int64_t>(*found->natural());
}

Result<double> number_or(const Json& json, std::string_view key, double otherwise) {
  const Json* found = json.find(key);
  if (found == nullptr || found->is_null()) return otherwise;
  return json.number_at(key);
}

/// `rope_scaling` and the top-level `rope_theta` of transformers 4, `rope_parameters` of
/// transformers 5.
Result<double> rope_theta_of(const Json& json) {
  COSHARD_ASSIGN(double theta, number_or(json, "rope_theta", 10000.0));
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const Json* rope = json.find(key);
    if (rope == nullptr || rope->is_null()) continue;
    if (rope->object() == nullptr) return unsupported(key, "an object or null", *rope);
    for (const char* type_key : {"rope_type", "type"}) {
      const Json* type = rope->find(type_key);
      if (type != nullptr && (type->string() == nullptr || *type->string() != "default"))
        return unsupported(key, "unscaled rotary positions (type \"default\")", *rope);
    }
    COSHARD_ASSIGN(theta, number_or(*rope, "rope_theta", theta));
  }
  return theta;
}

Result<void> check_supported(const Json& json) {
  COSHARD_TRY(expect_text(json, "model_type", "llama"));
  if (json.find("hidden_act") != nullptr) COSHARD_TRY(expect_text(json, "hidden_act", "silu"));
  for (const char* key : {"attention_bias", "mlp_bias"}) {
    COSHARD_ASSIGN(const bool biased, flag(json, key));
    if (biased) return unsupported(key, "false (biases are not supported)", Json(true));
  }
  const Json* quantised = json.find("quantization_config");
  if (quantised != nullptr && !quantised->is_null())
    return unsupported("quantization_config", "full-precision weights", *quantised);
  return {};
}

Json token_or_null(std::optional<std::uint32_t> token) {
  return token ? Json(std::uint64_t{*token}) : Json();
}

}  // namespace

Result<HfConfig> parse_hf_config(std::string_view text) {
  const auto parsed = Json::parse(text);
  if (!parsed) return tl::unexpected(parsed.error().within("config.json"));
  const Json& json = *parsed;
  COSHARD_TRY(check_supported(json));
  HfConfig config;
  ModelSpec& model = config.model;
  COSHARD_ASSIGN(config.tied, flag(json, "tie_word_embeddings"));
  COSHARD_ASSIGN(model.hidden, size_or(json, "hidden_size", std::nullopt));
  COSHARD_ASSIGN(model.layers, size_or(json, "num_hidden_layers", std::nullopt));
  COSHARD_ASSIGN(model.heads, size_or(json, "num_attention_heads", std::nullopt));
  COSHARD_ASSIGN(model.kv_heads, size_or(json, "num_key_value_heads", model.heads));
  COSHARD_ASSIGN(model.ffn_hidden, size_or(json, "intermediate_size", std::nullopt));
  COSHARD_ASSIGN(model.vocab, size_or(json, "vocab_size", std::nullopt));
  COSHARD_ASSIGN(model.sequence, size_or(json, "max_position_embeddings", std::int64_t{2048}));
  COSHARD_ASSIGN(model.norm_eps, number_or(json, "rms_norm_eps", 1e-6));
  COSHARD_ASSIGN(model.rope_theta, rope_theta_of(json));
  const auto valid = validate(model);
  if (!valid) return tl::unexpected(valid.error().within("config.json"));
  COSHARD_ASSIGN(const std::int64_t head_dim, size_or(json, "head_dim", model.head_dim()));
  if (head_dim != model.head_dim())
    return unsupported("head_dim",
                       "hidden_size / num_attention_heads = " + std::to_string(model.head_dim()),
                       Json(head_dim));
  return config;
}

std::string hf_config_text(const ModelSpec& model, std::string_view storage,
                           std::optional<std::uint32_t> end_of_document) {
  const Json json = Json::Object{{"architectures", Json::Array{"LlamaForCausalLM"}},
                                 {"model_type", "llama"},
                                 {"hidden_size", model.hidden},
                                 {"intermediate_size", model.ffn_hidden},
                                 {"num_hidden_layers", model.layers},
                                 {"num_attention_heads", model.heads},
                                 {"num_key_value_heads", model.kv_heads},
                                 {"head_dim", model.head_dim()},
                                 {"hidden_act", "silu"},
                                 {"vocab_size", model.vocab},
                                 {"max_position_embeddings", model.sequence},
                                 {"rms_norm_eps", model.norm_eps},
                                 {"rope_theta", model.rope_theta},
                                 {"rope_scaling", Json()},
                                 {"attention_bias", false},
                                 {"attention_dropout", 0.0},
                                 {"mlp_bias", false},
                                 {"tie_word_embeddings", false},
                                 {"initializer_range", 0.02},
                                 {"use_cache", true},
                                 {"bos_token_id", Json()},
                                 {"eos_token_id", token_or_null(end_of_document)},
                                 {"torch_dtype", std::string(storage)}};
  return json.text(2) + "\n";
}

std::string hf_generation_config_text(std::optional<std::uint32_t> end_of_document) {
  const Json json = Json::Object{{"_from_model_config", true},
                                 {"bos_token_id", Json()},
                                 {"eos_token_id", token_or_null(end_of_document)}};
  return json.text(2) + "\n";
}

}  // namespace coshard::shard
