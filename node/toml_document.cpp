// See toml_document.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/toml_document.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cstdio>

namespace coshard::node {
namespace {

tl::unexpected<Error> invalid(std::string_view file, std::uint32_t line, std::string_view what) {
  return fail(ErrorCode::kInvalidArgument,
              std::string(file) + ":" + std::to_string(line) + ": " + std::string(what));
}

Result<TomlTable> copy_table(const toml::table& from, std::string_view file);

Result<TomlValue> copy_value(const toml::node& from, std::string_view file) {
  TomlValue to;
  to.line = from.source().begin.line;
  if (const auto* boolean = from.as_boolean()) {
    to.value = boolean->get();
  } else if (const auto* integer = from.as_integer()) {
    to.value = integer->get();
  } else if (const auto* number = from.as_floating_point()) {
    to.value = number->get();
  } else if (const auto* text = from.as_string()) {
    to.value = text->get();
  } else if (const auto* array = from.as_array()) {
    TomlArray items;
    for (const toml::node& item : *array) {
      COSHARD_ASSIGN(TomlValue copied, copy_value(item, file));
      items.push_back(std::move(copied));
    }
    to.value = std::move(items);
  } else if (const auto* table = from.as_table()) {
    COSHARD_ASSIGN(to.value, copy_table(*table, file));
  } else {
    return invalid(file, to.line,
                   "expected text, a number, true, false, a list or a table; found a date");
  }
  return to;
}

Result<TomlTable> copy_table(const toml::table& from, std::string_view file) {
  TomlTable to;
  for (const auto& [key, node] : from) {
    COSHARD_ASSIGN(TomlValue value, copy_value(node, file));
    to.entries.push_back({std::string(key.str()), std::move(value)});
  }
  return to;
}

/// Text from a library on one line.
std::string one_line(std::string_view text) {
  std::string line;
  for (const char c : text) line += (c == '\n' || c == '\r') ? ' ' : c;
  return line;
}

std::string quoted(std::string_view text) {
  constexpr std::size_t kShown = 60;
  std::size_t shown = std::min(text.size(), kShown);
  while (shown < text.size() && shown > 0 && (text[shown] & 0xC0) == 0x80) --shown;
  return "\"" + one_line(text.substr(0, shown)) + (text.size() > shown ? "…" : "") + "\"";
}

}  // namespace

const TomlValue* TomlTable::find(std::string_view key) const {
  for (const TomlEntry& entry : entries) {
    if (entry.key == key) return &entry.value;
  }
  return nullptr;
}

Result<TomlTable> parse_toml(std::string_view text, std::string_view file_name) {
  try {
    return copy_table(toml::parse(text), file_name);
  } catch (const toml::parse_error& error) {
    return invalid(file_name, error.source().begin.line,
                   "not TOML: " + one_line(error.description()));
  }
}

std::string describe(const TomlValue& value) {
  struct Describer {
    std::string operator()(bool flag) const { return flag ? "true" : "false"; }
    std::string operator()(std::int64_t number) const { return std::to_string(number); }
    std::string operator()(double number) const {
      char text[32];
      std::snprintf(text, sizeof text, "%g", number);
      return text;
    }
    std::string operator()(const std::string& text) const { return quoted(text); }
    std::string operator()(const TomlArray&) const { return "a list"; }
    std::string operator()(const TomlTable&) const { return "a table"; }
  };
  return std::visit(Describer{}, value.value);
}

}  // namespace coshard::node
