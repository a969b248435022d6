// SPDX-License-Identifier: Apache-2.0
#include "ledger/evidence.h"

#include <charconv>

#include "ledger/merkle.h"
#include "protocol/base/limits.h"

namespace coshard::ledger {
namespace {

constexpr std::string_view kHeader = "coshard/fork-evidence@v1\n";

tl::unexpected<Error> malformed(const std::string& what) {
  return fail(ErrorCode::kInvalidArgument, "malformed evidence of a fork: " + what);
}

/// The text between `keyword`, a space and the end of the line, which is consumed.
Result<std::string_view> take_field(std::string_view& rest, std::string_view keyword) {
  const std::size_t end = rest.find('\n');
  std::string_view line = rest.substr(0, end);
  if (end == std::string_view::npos || !line.starts_with(keyword) ||
      line.substr(keyword.size()).substr(0, 1) != " ") {
    return malformed("a line \"" + std::string(keyword) + " …\" was expected");
  }
  rest.remove_prefix(end + 1);
  return line.substr(keyword.size() + 1);
}

Result<std::string> take_note(std::string_view& rest) {
  COSHARD_ASSIGN(const std::string_view number, take_field(rest, "note"));
  std::size_t size = 0;
  std::from_chars(number.data(), number.data() + number.size(), size);
  if (size > limits::kNoteBytesMax || size > rest.size()) return malformed("a note is cut short");
  std::string note(rest.substr(0, size));
  rest.remove_prefix(size);
  return note;
}

std::string describe(const Checkpoint& checkpoint) {
  return std::to_string(checkpoint.size) + " entries with root " + to_base64(checkpoint.root);
}

}  // namespace

std::string ForkEvidence::format() const {
  std::string out(kHeader);
  out += "log " + log.vkey() + "\n";
  for (const std::string* note : {&first, &second}) {
    out += "note " + std::to_string(note->size()) + "\n" + *note;
  }
  for (const Hash& hash : path) out += "path " + to_base64(hash) + "\n";
  return out;
}

Result<ForkEvidence> ForkEvidence::parse(std::string_view text) {
  if (text.size() > limits::kEvidenceBytesMax || !text.starts_with(kHeader)) {
    return malformed("the line " + std::string(kHeader.substr(0, kHeader.size() - 1)) +
                     " and at most " + std::to_string(limits::kEvidenceBytesMax) +
                     " bytes were expected");
  }
  std::string_view rest = text.substr(kHeader.size());
  ForkEvidence out;
  COSHARD_ASSIGN(const std::string_view vkey, take_field(rest, "log"));
  COSHARD_ASSIGN(out.log, NoteKey::parse_vkey(vkey));
  COSHARD_ASSIGN(out.first, take_note(rest));
  COSHARD_ASSIGN(out.second, take_note(rest));
  while (!rest.empty()) {
    COSHARD_ASSIGN(const std::string_view line, take_field(rest, "path"));
    const auto decoded = from_base64(line);
    if (!decoded || decoded->size() != sizeof(Hash) || out.path.size() > limits::kProofHashesMax) {
      return malformed("a path of hashes in base64 was expected");
    }
    out.path.push_back(*to_array<sizeof(Hash)>(*decoded));
  }
  // Writing it again is the strictest parser.
  if (out.format() != text) return malformed("not as it is written");
  return out;
}

Result<Fork> examine(const ForkEvidence& evidence) {
  Fork fork;
  COSHARD_ASSIGN(fork.first, open_checkpoint(evidence.first, evidence.log));
  COSHARD_ASSIGN(fork.second, open_checkpoint(evidence.second, evidence.log));
  const std::string signed_both = "The log " + evidence.log.name + " (key " + evidence.log.vkey() +
                                  ")\nsigned two checkpoints:\n  " + describe(fork.first) + "\n  " +
                                  describe(fork.second) + "\n";
  const std::string verdict =
      "No append-only log can have both: it showed different histories to different readers, or\n"
      "rewrote its own. Whoever holds this file can prove it to anybody who knows the log's key.";
  if (fork.first.size == fork.second.size && evidence.path.empty()) {
    if (fork.first.root != fork.second.root) {
      fork.words = signed_both + "They have one size and different roots. " + verdict;
      return fork;
    }
    return fail(ErrorCode::kFailedPrecondition,
                "both checkpoints are the same: there is no fork in this");
  }
  const auto roots = roots_of_path(fork.first.size, fork.second.size, evidence.path);
  if (!roots || roots->new_root != fork.second.root) {
    return fail(ErrorCode::kFailedPrecondition,
                "the path does not belong to the second checkpoint: there is no fork shown");
  }
  if (roots->old_root == fork.first.root) {
    return fail(ErrorCode::kFailedPrecondition,
                "the second checkpoint continues the first one: there is no fork in this");
  }
  fork.words = signed_both + "The first " + std::to_string(fork.first.size) +
               " entries of the second have the root " + to_base64(roots->old_root) + ". " +
               verdict;
  return fork;
}

}  // namespace coshard::ledger
