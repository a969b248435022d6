// Where the public test vectors are: the environment variable COSHARD_SHARED_DIR, else ../shared
// beside the checkout.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

namespace coshard::test {

/// The folder `name` of the public vectors, or nothing: the test then skips and says so.
inline std::optional<std::filesystem::path> shared_vectors(std::string_view name) {
  const char* set = std::getenv("COSHARD_SHARED_DIR");
  const std::filesystem::path shared = set != nullptr ? set : COSHARD_DEFAULT_SHARED_DIR;
  const std::filesystem::path folder = shared / "vectors" / name;
  if (!std::filesystem::exists(folder)) return std::nullopt;
  return folder;
}

inline nlohmann::json read_json(const std::filesystem::path& path) {
  std::ifstream in(path);
  return nlohmann::json::parse(in);
}

}  // namespace coshard::test
