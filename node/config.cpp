// See config.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/config.h"

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "node/toml_reader.h"

namespace coshard::node {
namespace {

std::filesystem::path base_folder(const Environment& environment, const char* variable,
                                  const char* below_home) {
  if (const auto folder = environment(variable)) return *folder;
  return std::filesystem::path(environment("HOME").value_or("/")) / below_home;
}

void read_path(const TomlReader& reader, std::string_view key, const Environment& environment,
               std::filesystem::path& out) {
  std::string text;
  reader.text(key, Presence::kOptional, "the path of a folder", text);
  if (text.empty()) return;
  out = text.starts_with("~/")
            ? std::filesystem::path(environment("HOME").value_or("/")) / text.substr(2)
            : std::filesystem::path(text);
}

}  // namespace

Environment process_environment() {
  return [](const char* name) -> std::optional<std::string> {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') return std::nullopt;
    return value;
  };
}

Config default_config(const Environment& environment) {
  const auto state = base_folder(environment, "XDG_STATE_HOME", ".local/state") / "coshard";
  return {std::nullopt, state / "rounds", state / "node"};
}

std::filesystem::path cache_folder(const Environment& environment) {
  return base_folder(environment, "XDG_CACHE_HOME", ".cache") / "coshard";
}

Result<Config> parse_config(std::string_view text, std::string_view file_name,
                            const Environment& environment) {
  COSHARD_ASSIGN(const TomlTable document, parse_toml(text, file_name));
  TomlProblems problems(file_name);
  const TomlReader reader(document, "", 1, {"ledger", "rounds", "node"}, problems);
  Config config = default_config(environment);
  std::filesystem::path ledger;
  read_path(reader, "ledger", environment, ledger);
  read_path(reader, "rounds", environment, config.rounds);
  read_path(reader, "node", environment, config.node);
  if (!ledger.empty()) config.ledger = ledger.string();
  COSHARD_TRY(problems.result());
  return config;
}

Result<Config> load_config(const Environment& environment) {
  const auto file = base_folder(environment, "XDG_CONFIG_HOME", ".config") / "coshard/config.toml";
  std::ifstream in(file, std::ios::binary);
  if (!in) return default_config(environment);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  return parse_config(text, file.string(), environment);
}

}  // namespace coshard::node
