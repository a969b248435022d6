// Any bytes as config.json and as model.safetensors.index.json: refused, or a valid model that
// survives being written,
// and names that stay inside the directory.
// SPDX-License-Identifier: Apache-2.0
#include <cstdint>

#include "protocol/base/check.h"
#include "shard/checkpoint/hf_config.h"
#include "shard/checkpoint/hf_llama.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace coshard;
  const std::string_view text = as_text({bytes, size});
  if (const auto config = shard::parse_hf_config(text)) {
    COSHARD_CHECK(shard::validate(config->model).has_value());
    const auto again =
        shard::parse_hf_config(shard::hf_config_text(config->model, "float32", std::nullopt));
    COSHARD_CHECK(again.has_value());
    COSHARD_CHECK(again->model == config->model);
  }
  if (const auto index = shard::parse_hf_index(text))
    for (const auto& [tensor, file] : *index)
      COSHARD_CHECK(file.find('/') == std::string::npos && file != "..");
  return 0;
}
