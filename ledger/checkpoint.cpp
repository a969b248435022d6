// SPDX-License-Identifier: Apache-2.0
#include "ledger/checkpoint.h"

#include <algorithm>
#include <charconv>

namespace coshard::ledger {
namespace {

bool is_plain(std::string_view text, std::string_view also) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || also.find(c) != also.npos;
  });
}

/// The text before the next newline, which is consumed with it.
std::string_view take_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

}  // namespace

std::string Checkpoint::text() const {
  return origin + "\n" + std::to_string(size) + "\n" + to_base64(root) + "\n";
}

Result<Checkpoint> Checkpoint::parse(std::string_view text) {
  std::string_view rest = text;
  Checkpoint out;
  out.origin = take_line(rest);
  const std::string_view size = take_line(rest);
  std::from_chars(size.data(), size.data() + size.size(), out.size);
  const auto root = from_base64(take_line(rest));
  if (root && root->size() == out.root.size()) out.root = *to_array<32>(*root);
  // Writing it again is the strictest parser: sign, leading zero, missing newline, more lines.
  if (!is_note_name(out.origin) || out.text() != text) {
    return fail(ErrorCode::kInvalidArgument,
                "malformed checkpoint: origin, size and root on three lines were expected");
  }
  return out;
}

Result<std::string> make_origin(std::string_view domain, std::string_view model) {
  if (!is_plain(domain, "./-") || domain.ends_with('/') || !is_plain(model, ".-") ||
      model.starts_with('.')) {
    return fail(ErrorCode::kInvalidArgument,
                "lower-case letters, digits, '.' and '-' were expected in the ledger's domain and "
                "the model's name, found \"" +
                    std::string(domain) + "\" and \"" + std::string(model) + "\"");
  }
  return std::string(domain) + "/coshard/m/" + std::string(model);
}

Result<std::string> sign_checkpoint(const Checkpoint& checkpoint, const crypto::KeyPair& log_key) {
  return sign_note(checkpoint.text(), checkpoint.origin, log_key);
}

Result<Checkpoint> open_checkpoint(std::string_view note, const NoteKey& log_key) {
  COSHARD_ASSIGN(const Note opened, open_note(note, {&log_key, 1}));
  COSHARD_ASSIGN(Checkpoint checkpoint, Checkpoint::parse(opened.text));
  if (checkpoint.origin != log_key.name) {
    return fail(ErrorCode::kPermissionDenied, "checkpoint of origin " + log_key.name +
                                                  " was expected, found " + checkpoint.origin);
  }
  return checkpoint;
}

}  // namespace coshard::ledger
