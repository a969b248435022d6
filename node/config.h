// What a person may write down once instead of on every command line:
// ~/.config/coshard/config.toml, optional, and where the programs keep their state. Pure but for
// load_config(); any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/base/error.h"

namespace coshard::node {

/// Looks up an environment variable; nothing when unset or empty.
using Environment = std::function<std::optional<std::string>(const char* name)>;
/// The one of this process.
Environment process_environment();

struct Config {
  std::optional<std::string> ledger;  ///< `ledger`: default of --ledger, a folder or an URL
  std::filesystem::path rounds;       ///< `rounds`: where `round launch` keeps its rounds
  std::filesystem::path node;         ///< `node`: the folder of this box's daemon
};

/// Without a file: $XDG_STATE_HOME (or ~/.local/state) /coshard/{rounds,node}.
Config default_config(const Environment& environment);

/// $XDG_CACHE_HOME (or ~/.cache) /coshard: what can be made again.
std::filesystem::path cache_folder(const Environment& environment);

/// `text` over the defaults. kInvalidArgument "FILE:LINE: …" for unknown keys or false types.
Result<Config> parse_config(std::string_view text, std::string_view file_name,
                            const Environment& environment);

/// Reads $XDG_CONFIG_HOME (or ~/.config) /coshard/config.toml; a missing file is no error.
Result<Config> load_config(const Environment& environment);

}  // namespace coshard::node
