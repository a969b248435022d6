// SPDX-License-Identifier: Apache-2.0
#include "ledger/proof_file.h"

#include <charconv>

#include "protocol/base/limits.h"

namespace coshard::ledger {
namespace {

constexpr std::string_view kHeader = "c2sp.org/tlog-proof@v1\n";
constexpr std::size_t kProofBytesMax = limits::kNoteBytesMax + 4 * limits::kEntryBytesMax;

tl::unexpected<Error> malformed(const std::string& what) {
  return fail(ErrorCode::kInvalidArgument, "malformed proof: " + what);
}

/// The text before the next newline, which is consumed with it; nothing where there is none.
std::optional<std::string_view> take_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return line;
}

}  // namespace

std::string ProofFile::format() const {
  std::string out(kHeader);
  if (extra) out += "extra " + to_base64(*extra) + "\n";
  out += "index " + std::to_string(index.value) + "\n";
  for (const Hash& hash : path) out += to_base64(hash) + "\n";
  return out + "\n" + note;
}

Result<ProofFile> ProofFile::parse(std::string_view text) {
  if (text.size() > kProofBytesMax || !text.starts_with(kHeader)) {
    return malformed("the line " + std::string(kHeader.substr(0, kHeader.size() - 1)) +
                     " and at most " + std::to_string(kProofBytesMax) + " bytes were expected");
  }
  std::string_view rest = text.substr(kHeader.size());
  ProofFile out;
  auto line = take_line(rest);
  if (line && line->starts_with("extra ")) {
    out.extra = from_base64(line->substr(6));
    if (!out.extra) return malformed("\"extra\" and base64 was expected");
    line = take_line(rest);
  }
  if (!line || !line->starts_with("index ")) return malformed("\"index N\" was expected");
  std::uint64_t index = 0;
  std::from_chars(line->data() + 6, line->data() + line->size(), index);
  out.index = LogIndex(index);
  for (line = take_line(rest); line && !line->empty(); line = take_line(rest)) {
    const auto hash = from_base64(*line);
    if (!hash || hash->size() != sizeof(Hash) || out.path.size() == limits::kProofHashesMax) {
      return malformed("at most 63 hashes in base64 were expected");
    }
    out.path.push_back(*to_array<sizeof(Hash)>(*hash));
  }
  out.note = rest;
  // Writing it again is the strictest parser.
  if (!line || out.format() != text) return malformed("not as it is written");
  COSHARD_TRY(parse_note(out.note));
  return out;
}

Result<CosignedCheckpoint> verify_proof(const ProofFile& proof, ByteView entry,
                                        const Policy& policy,
                                        const std::optional<NoteKey>& pinned) {
  COSHARD_ASSIGN(CosignedCheckpoint opened, open_cosigned(proof.note, policy, pinned));
  COSHARD_TRY(verify_inclusion(proof.index, opened.checkpoint.size, leaf_hash(entry), proof.path,
                               opened.checkpoint.root));
  return opened;
}

}  // namespace coshard::ledger
