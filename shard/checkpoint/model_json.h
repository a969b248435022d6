// A model's hyper-parameters as JSON: in checkpoint metadata. Pure.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "shard/plan/spec.h"

namespace coshard::shard {

/// One line; the same bytes for the same spec.
std::string model_json(const ModelSpec& spec);
/// kInvalidArgument unless it names every hyper-parameter and the spec is valid.
Result<ModelSpec> parse_model_json(std::string_view text);

}  // namespace coshard::shard
