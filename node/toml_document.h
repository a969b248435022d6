// A TOML file as plain values that know their line, so that every message can name it. The one file
// that sees toml++ is toml_document.cpp. Value types, any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "protocol/base/error.h"

namespace coshard::node {

struct TomlValue;
struct TomlEntry;

using TomlArray = std::vector<TomlValue>;

/// Keys in the order of the alphabet.
struct TomlTable {
  std::vector<TomlEntry> entries;

  /// Nothing (null) when the table has no such key. Valid as long as the table.
  const TomlValue* find(std::string_view key) const;
};

struct TomlValue {
  std::uint32_t line = 0;  ///< 1-based
  std::variant<bool, std::int64_t, double, std::string, TomlArray, TomlTable> value;
};

struct TomlEntry {
  std::string key;
  TomlValue value;
};

/// The whole file. kInvalidArgument "FILE:LINE: …" when it is not TOML, or holds a date (coshard
/// has no use for one). `file_name` is for messages only.
Result<TomlTable> parse_toml(std::string_view text, std::string_view file_name);

/// How a person would call what was found: `"text"`, `12`, `a list`, `a table`.
std::string describe(const TomlValue& value);

}  // namespace coshard::node
