// Reading one TOML table against rules: known keys, types, ranges. The first broken rule is kept
// and everything after it is ignored, so a caller lists its rules straight down and asks once at
// the end. Not shared between threads.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "node/toml_document.h"

namespace coshard::node {

/// Where the first problem of a file is kept.
class TomlProblems {
 public:
  explicit TomlProblems(std::string_view file_name) : file_name_(file_name) {}

  /// "FILE:LINE: WHAT", unless there was a problem before.
  void report(std::uint32_t line, const std::string& what);
  bool any() const { return first_.has_value(); }
  /// kInvalidArgument with the first problem.
  Result<void> result() const;

 private:
  std::string file_name_;
  std::optional<Error> first_;
};

enum class Presence { kRequired, kOptional };

/// One table. Reads leave their target alone when the key is absent or wrong.
class TomlReader {
 public:
  /// `path` names the table in messages, "" for the whole file. Reports keys that are not `known`
  /// at once: a misspelt key is the likely reason for a missing one. All arguments outlive this.
  TomlReader(const TomlTable& table, std::string path, std::uint32_t line,
             std::initializer_list<std::string_view> known, TomlProblems& problems)
      : table_(table), path_(std::move(path)), line_(line), problems_(problems) {
    refuse_unknown({known.begin(), known.size()});
  }

  const TomlValue* find(std::string_view key) const { return table_.find(key); }
  bool has(std::string_view key) const { return find(key) != nullptr; }
  /// Null when absent. Reports absence (when required) and a value that is not of type T.
  template <class T>
  const T* get(std::string_view key, Presence presence, std::string_view expected) const;

  void text(std::string_view key, Presence presence, std::string_view expected,
            std::string& out) const;
  void flag(std::string_view key, bool& out) const;
  /// An integer from `min` to `max`, into any integer type that holds them.
  template <class Integer>
  void integer(std::string_view key, Presence presence, std::int64_t min, std::int64_t max,
               Integer& out) const {
    if (const auto value = integer_in(key, presence, min, max)) out = static_cast<Integer>(*value);
  }
  /// A number (an integer is one) in the open or closed interval that `expected` describes.
  void number(std::string_view key, std::string_view expected, bool (*accepts)(double),
              double& out) const;
  /// The position of the text among `choices`.
  std::optional<std::size_t> choice(std::string_view key, Presence presence,
                                    std::span<const std::string_view> choices) const;
  /// Null when absent; reports what is not a table.
  const TomlValue* table(std::string_view key, Presence presence) const;

  /// "training.steps: expected WHAT, found WHAT" at the line of the key (of the table if absent).
  void expected(std::string_view key, std::string_view what) const;
  void expected(std::string_view key, std::string_view what, std::string_view found) const;
  std::string full_key(std::string_view key) const;
  std::uint32_t line_of(std::string_view key) const;
  TomlProblems& problems() const { return problems_; }

 private:
  void refuse_unknown(std::span<const std::string_view> known) const;
  std::optional<std::int64_t> integer_in(std::string_view key, Presence presence, std::int64_t min,
                                         std::int64_t max) const;

  const TomlTable& table_;
  std::string path_;
  std::uint32_t line_;
  TomlProblems& problems_;
};

/// The candidate nearest to `word` by edit distance, when near enough to be a slip; else nothing.
std::optional<std::string_view> nearest_name(std::string_view word,
                                             std::span<const std::string_view> candidates);

/// `"a", "b" or "c"`.
std::string list_choices(std::span<const std::string_view> choices);

}  // namespace coshard::node
