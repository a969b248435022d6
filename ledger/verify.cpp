// SPDX-License-Identifier: Apache-2.0
#include "ledger/verify.h"

#include <algorithm>

#include "ledger/round_ledger.h"
#include "ledger/tiles.h"
#include "ledger/units_file.h"
#include "protocol/base/limits.h"

namespace coshard::ledger {
namespace {

constexpr std::size_t kVkeyBytesMax = 1024;

tl::unexpected<Error> at_file(const LogFolder& folder, std::string_view path, const Error& error) {
  return tl::unexpected(error.within(folder.describe(path)));
}

tl::unexpected<Error> another_key(const LogFolder& folder, const NoteKey& pinned) {
  return at_file(folder, "log.vkey",
                 {ErrorCode::kPermissionDenied, "key " + pinned.vkey() + " was expected"});
}

/// Replays the entries; the first one that breaks a rule is named.
Result<void> replay(const LogFolder& folder, const LogContents& contents,
                    const EntryObserver& observer, VerifiedLedger& out) {
  for (std::uint64_t i = 0; i < contents.entries.size(); ++i) {
    const auto name = [&](const Error& error) {
      const TileId bundle{TileId::kEntries, i / kTileWidth, kTileWidth};
      return tl::unexpected(Error{
          ErrorCode::kCorruption,
          folder.describe(bundle.path()) + ": entry " + std::to_string(i) + ": " + error.message});
    };
    const auto entry = decode_entry(contents.entries[i]);
    if (!entry) return name(entry.error());
    if (auto applied = out.accounts.apply(LogIndex(i), *entry); !applied) {
      return name(applied.error());
    }
    auto body = decode_body(entry->body);
    out.entries.push_back({LogIndex(i), entry->seq_ms, std::move(*body)});
    if (observer) observer(out.entries.back(), out.accounts);
  }
  return {};
}

Result<void> check_units_files(const LogFolder& folder, const VerifiedLedger& ledger) {
  for (const EpochState& epoch : ledger.accounts.epochs()) {
    const std::string path = units_path(epoch.close.epoch);
    COSHARD_ASSIGN(const Bytes bytes, folder.read(path, limits::kUnitsFileBytesMax));
    if (auto checked = verify_units_file(ledger.accounts.genesis(), epoch.close, bytes); !checked) {
      return at_file(folder, path,
                     checked.error().within("entry " + std::to_string(epoch.index.value)));
    }
  }
  return {};
}

/// A log that is cosigned has the next checkpoint's files before witnesses have seen that one.
Beyond beyond_of(const VerifiedLedger& ledger) {
  const auto parts = parse_note(ledger.note);
  const auto is_witness = [&](const NoteLine& line) {
    return line.name != ledger.checkpoint.origin;
  };
  const bool cosigned = parts && std::any_of(parts->lines.begin(), parts->lines.end(), is_witness);
  return cosigned ? Beyond::kAnnounced : Beyond::kRefused;
}

Result<void> check_no_other_files(const LogFolder& folder, const VerifiedLedger& ledger,
                                  Beyond beyond) {
  COSHARD_ASSIGN(const std::vector<std::string> names, folder.list(""));
  for (const std::string& name : names) {
    if (name == "checkpoint" || name == "log.vkey" || is_temporary(name)) continue;
    if (name.starts_with("tile/")) continue;  // check_other_tiles
    bool known = false;
    for (const EpochState& epoch : ledger.accounts.epochs()) {
      known = known || name == units_path(epoch.close.epoch);
    }
    known = known || (beyond == Beyond::kAnnounced && name.starts_with("units/"));
    if (!known) {
      return fail(ErrorCode::kCorruption, folder.describe(name) + ": unknown file in the ledger");
    }
  }
  return {};
}

Result<NoteKey> read_log_key(const LogFolder& folder, const std::optional<NoteKey>& pinned) {
  COSHARD_ASSIGN(const Bytes bytes, folder.read("log.vkey", kVkeyBytesMax));
  std::string_view text = as_text(bytes);
  if (!text.ends_with('\n')) {
    return at_file(folder, "log.vkey", {ErrorCode::kCorruption, "one line was expected"});
  }
  text.remove_suffix(1);
  const auto key = NoteKey::parse_vkey(text);
  if (!key) return at_file(folder, "log.vkey", {ErrorCode::kCorruption, key.error().message});
  if (pinned && pinned->name != key->name) return another_key(folder, *pinned);
  return *key;
}

}  // namespace

/// The key in force is the genesis's or one that the key before it handed over to, so a reader who
/// trusts any of them trusts the last.
Result<void> check_log_key(const LogFolder& folder, const LogHead& head, const Accounts& accounts) {
  const std::string& origin = accounts.genesis().origin;
  const std::vector<LogKey>& keys = accounts.log_keys();
  if (head.trusted) {
    const bool handed_over = std::any_of(keys.begin(), keys.end(), [&](const LogKey& one) {
      return *head.trusted == NoteKey{origin, one.key};
    });
    if (!handed_over) return another_key(folder, *head.trusted);
  }
  if (head.key == NoteKey{origin, keys.back().key}) return {};
  const bool both_sign = keys.size() > 1 && head.checkpoint.size <= keys.back().until;
  if (both_sign && head.key == NoteKey{origin, keys[keys.size() - 2].key}) return {};
  return at_file(folder, "log.vkey",
                 {ErrorCode::kCorruption,
                  keys.size() == 1 ? "is not the key that the genesis entry names"
                                   : "is not the key that the log changed to: it is retired"});
}

Result<LogHead> read_head(const LogFolder& folder, const ReaderTrust& trust) {
  LogHead out;
  COSHARD_ASSIGN(out.key, read_log_key(folder, trust.pinned));
  COSHARD_ASSIGN(const Bytes note, folder.read("checkpoint", limits::kNoteBytesMax));
  out.note = as_text(note);
  // A policy names its logs itself, and may know one by a key that has handed over since.
  const bool named = !trust.policy.logs().empty();
  const auto opened =
      open_cosigned(out.note, trust.policy, named ? std::nullopt : std::optional(out.key));
  if (!opened) return at_file(folder, "checkpoint", opened.error());
  out.checkpoint = opened->checkpoint;
  out.witnesses = opened->witnesses;
  out.trusted = named && !trust.pinned ? opened->log : trust.pinned;
  if (out.checkpoint.size > 0) return out;
  return at_file(folder, "checkpoint", {ErrorCode::kCorruption, "the log has no genesis entry"});
}

namespace {

struct ReadResult {
  VerifiedLedger ledger;
  LogContents contents;
};

Result<ReadResult> read_all(const LogFolder& folder, const ReaderTrust& trust,
                            const EntryObserver& observer) {
  ReadResult out;
  COSHARD_ASSIGN(const LogHead head, read_head(folder, trust));
  out.ledger.key = head.key;
  out.ledger.checkpoint = head.checkpoint;
  out.ledger.note = head.note;
  out.ledger.witnesses = head.witnesses;
  COSHARD_ASSIGN(out.contents, read_log(folder, head.checkpoint));
  COSHARD_TRY(replay(folder, out.contents, observer, out.ledger));
  COSHARD_TRY(check_log_key(folder, head, out.ledger.accounts));
  return out;
}

}  // namespace

Result<VerifiedLedger> read_ledger(const LogFolder& folder, const ReaderTrust& trust,
                                   const EntryObserver& observer) {
  COSHARD_ASSIGN(ReadResult read, read_all(folder, trust, observer));
  read.ledger.hashes = std::move(read.contents.hashes);
  return std::move(read.ledger);
}

Result<VerifiedLedger> verify_ledger(const LogFolder& folder, const ReaderTrust& trust,
                                     const EntryObserver& observer) {
  COSHARD_ASSIGN(ReadResult read, read_all(folder, trust, observer));
  const Beyond beyond = beyond_of(read.ledger);
  COSHARD_TRY(check_other_tiles(folder, read.contents, beyond));
  COSHARD_TRY(check_units_files(folder, read.ledger));
  COSHARD_TRY(check_no_other_files(folder, read.ledger, beyond));
  read.ledger.hashes = std::move(read.contents.hashes);
  return std::move(read.ledger);
}

}  // namespace coshard::ledger
