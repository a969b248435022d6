// See toml_reader.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/toml_reader.h"

#include <algorithm>

namespace coshard::node {

void TomlProblems::report(std::uint32_t line, const std::string& what) {
  if (first_) return;
  first_ = Error{ErrorCode::kInvalidArgument,
                 file_name_ + ":" + std::to_string(std::max(line, 1U)) + ": " + what};
}

Result<void> TomlProblems::result() const {
  if (first_) return tl::unexpected<Error>(*first_);
  return {};
}

void TomlReader::refuse_unknown(std::span<const std::string_view> known) const {
  for (const TomlEntry& entry : table_.entries) {
    if (std::find(known.begin(), known.end(), entry.key) != known.end()) continue;
    std::string what = full_key(entry.key) + ": expected a known key, found \"" + entry.key + "\"";
    if (const auto near = nearest_name(entry.key, known))
      what += "; did you mean \"" + std::string(*near) + "\"?";
    problems_.report(entry.value.line, what);
  }
}

std::string TomlReader::full_key(std::string_view key) const {
  return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
}

std::uint32_t TomlReader::line_of(std::string_view key) const {
  const TomlValue* value = find(key);
  return value != nullptr ? value->line : line_;
}

void TomlReader::expected(std::string_view key, std::string_view what) const {
  const TomlValue* value = find(key);
  expected(key, what, value != nullptr ? describe(*value) : "nothing");
}

void TomlReader::expected(std::string_view key, std::string_view what,
                          std::string_view found) const {
  problems_.report(line_of(key), full_key(key) + ": expected " + std::string(what) + ", found " +
                                     std::string(found));
}

template <class T>
const T* TomlReader::get(std::string_view key, Presence presence, std::string_view what) const {
  const TomlValue* value = find(key);
  if (value == nullptr) {
    if (presence == Presence::kRequired) expected(key, what);
    return nullptr;
  }
  const T* typed = std::get_if<T>(&value->value);
  if (typed == nullptr) expected(key, what);
  return typed;
}

template const std::string* TomlReader::get(std::string_view, Presence, std::string_view) const;
template const TomlArray* TomlReader::get(std::string_view, Presence, std::string_view) const;

void TomlReader::text(std::string_view key, Presence presence, std::string_view what,
                      std::string& out) const {
  if (const auto* value = get<std::string>(key, presence, what)) out = *value;
}

void TomlReader::flag(std::string_view key, bool& out) const {
  if (const auto* value = get<bool>(key, Presence::kOptional, "true or false")) out = *value;
}

std::optional<std::int64_t> TomlReader::integer_in(std::string_view key, Presence presence,
                                                   std::int64_t min, std::int64_t max) const {
  const std::string what = "an integer from " + std::to_string(min) + " to " + std::to_string(max);
  const auto* value = get<std::int64_t>(key, presence, what);
  if (value == nullptr) return std::nullopt;
  if (*value < min || *value > max) {
    expected(key, what);
    return std::nullopt;
  }
  return *value;
}

void TomlReader::number(std::string_view key, std::string_view what, bool (*accepts)(double),
                        double& out) const {
  const TomlValue* value = find(key);
  if (value == nullptr) return;
  std::optional<double> found;
  if (const auto* real = std::get_if<double>(&value->value)) found = *real;
  if (const auto* whole = std::get_if<std::int64_t>(&value->value))
    found = static_cast<double>(*whole);
  if (!found || !accepts(*found)) return expected(key, what);  // NaN is accepted by no interval
  out = *found;
}

std::optional<std::size_t> TomlReader::choice(std::string_view key, Presence presence,
                                              std::span<const std::string_view> choices) const {
  const std::string what = list_choices(choices);
  const auto* value = get<std::string>(key, presence, what);
  if (value == nullptr) return std::nullopt;
  const auto found = std::find(choices.begin(), choices.end(), *value);
  if (found == choices.end()) {
    expected(key, what);
    return std::nullopt;
  }
  return static_cast<std::size_t>(found - choices.begin());
}

const TomlValue* TomlReader::table(std::string_view key, Presence presence) const {
  return get<TomlTable>(key, presence, "a table") != nullptr ? find(key) : nullptr;
}

namespace {

/// Levenshtein distance, one row at a time.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row.back();
}

}  // namespace

std::optional<std::string_view> nearest_name(std::string_view word,
                                             std::span<const std::string_view> candidates) {
  constexpr std::size_t kLongestWord = 64;
  if (word.size() > kLongestWord) return std::nullopt;
  std::optional<std::string_view> best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string_view candidate : candidates) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance >= best_distance) continue;
    best_distance = distance;
    best = candidate;
  }
  return best;
}

std::string list_choices(std::span<const std::string_view> choices) {
  std::string list;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (i > 0) list += i + 1 == choices.size() ? " or " : ", ";
    list += "\"" + std::string(choices[i]) + "\"";
  }
  return list;
}

}  // namespace coshard::node
