// config.json of a Hugging Face LLaMA: what we can train from, and what we write. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "shard/plan/spec.h"

namespace coshard::shard {

struct HfConfig {
  ModelSpec model;    ///< `sequence` is max_position_embeddings
  bool tied = false;  ///< the head is a copy of the embedding when we start from it
};

/// kInvalidArgument naming the key and what is not supported: another model type or activation,
/// scaled rotary positions, biases, quantisation, a head width other than hidden / heads.
Result<HfConfig> parse_hf_config(std::string_view text);

/// config.json as transformers and vLLM read it. `storage` is the weights' type, "float32" or
/// "bfloat16"; `end_of_document` the token that ends generation.
std::string hf_config_text(const ModelSpec& model, std::string_view storage,
                           std::optional<std::uint32_t> end_of_document);
std::string hf_generation_config_text(std::optional<std::uint32_t> end_of_document);

}  // namespace coshard::shard
