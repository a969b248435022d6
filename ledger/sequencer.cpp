// SPDX-License-Identifier: Apache-2.0
#include "ledger/sequencer.h"

#include <algorithm>

#include "crypto/signed_payload.h"
#include "ledger/tree_path.h"
#include "protocol/base/check.h"
#include "protocol/base/limits.h"

namespace coshard::ledger {
namespace {

constexpr std::string_view kCheckpointFile = "checkpoint";
constexpr std::string_view kVkeyFile = "log.vkey";
/// Entries read from the store at a time.
constexpr std::uint64_t kReplayChunk = 1024;

}  // namespace

Result<Sequencer> Sequencer::open(Store& store, LogFolder& folder, const crypto::KeyPair& log_key,
                                  const Clock& clock, Publication publication) {
  Sequencer out(store, folder, log_key, clock, publication);
  COSHARD_TRY(out.replay());
  if (out.durable_ > 0) COSHARD_TRY(out.recover_publication());
  return out;
}

Result<void> Sequencer::require_healthy() const {
  if (!failed_) return {};
  return fail(ErrorCode::kFailedPrecondition,
              "an earlier write of the ledger failed: start the coordinator again");
}

namespace {

std::uint64_t event_key(const Hash& event) {
  return get_be<std::uint64_t>(ByteView(event).first(8));
}

}  // namespace

void Sequencer::grow(ByteView entry, const Hash& event) {
  const Hash leaf = leaf_hash(entry);
  hashes_.append(leaf);
  tree_.append(leaf);
  events_.emplace(event_key(event), hashes_.size() - 1);
}

/// The entry that holds this event with the same body; kFailedPrecondition with another one.
Result<std::optional<LogIndex>> Sequencer::find_event(const Hash& event, ByteView body) const {
  const auto found = events_.find(event_key(event));
  if (found == events_.end()) return std::nullopt;
  const std::uint64_t index = found->second;
  Bytes bytes;
  if (index >= durable_) {
    bytes = waiting_[index - durable_];
  } else {
    COSHARD_ASSIGN(std::vector<Bytes> stored, store_->read(index, 1));
    bytes = std::move(stored.front());
  }
  COSHARD_ASSIGN(const LedgerEntry entry, decode_entry(bytes));
  COSHARD_ASSIGN(const Body known, decode_body(entry.body));
  if (event_id(known) != event) return std::nullopt;
  if (std::equal(body.begin(), body.end(), entry.body.begin(), entry.body.end())) {
    return LogIndex(index);
  }
  return fail(ErrorCode::kFailedPrecondition,
              "conflict: entry " + std::to_string(index) + " holds this event with other content");
}

Result<void> Sequencer::replay() {
  COSHARD_ASSIGN(const std::uint64_t size, store_->size());
  while (durable_ < size) {
    COSHARD_ASSIGN(const std::vector<Bytes> chunk,
                   store_->read(durable_, std::min(kReplayChunk, size - durable_)));
    for (const Bytes& bytes : chunk) {
      COSHARD_ASSIGN(const LedgerEntry entry, decode_entry(bytes));
      if (auto applied = accounts_.apply(LogIndex(durable_), entry); !applied) {
        return fail(ErrorCode::kCorruption,
                    "stored entry " + std::to_string(durable_) + ": " + applied.error().message);
      }
      COSHARD_ASSIGN(const Body body, decode_body(entry.body));
      grow(bytes, event_id(body));
      ++durable_;
    }
  }
  return {};
}

Result<NoteKey> Sequencer::note_key() const {
  const NoteKey key{accounts_.genesis().origin, accounts_.log_keys().back().key};
  if (key.key == log_key_->public_key()) return key;
  return fail(ErrorCode::kPermissionDenied,
              "the log key is not the one that genesis names, or that the log changed to");
}

/// A checkpoint that this log signed, under whichever of its keys was in force.
Result<Checkpoint> Sequencer::open_own(std::string_view note) const {
  std::vector<NoteKey> keys;
  for (const LogKey& one : accounts_.log_keys()) {
    keys.push_back({accounts_.genesis().origin, one.key});
  }
  COSHARD_ASSIGN(const Note opened, open_note(note, keys));
  return Checkpoint::parse(opened.text);
}

/// Under the key in force and, while a change of keys says so, under the one before it.
Result<std::string> Sequencer::sign(const Checkpoint& checkpoint) const {
  COSHARD_ASSIGN(std::string note, sign_checkpoint(checkpoint, *log_key_));
  const LogKey& last = accounts_.log_keys().back();
  if (former_log_key_ == nullptr || checkpoint.size > last.until) return note;
  const NoteKey former{checkpoint.origin, former_log_key_->public_key()};
  return note + note_line(former, former_log_key_->sign(as_bytes(checkpoint.text())));
}

/// A checkpoint that this log gave away must be one of its prefixes, or it would fork itself.
Result<void> Sequencer::check_prefix(const Checkpoint& checkpoint, const std::string& whose) const {
  if (checkpoint.size <= hashes_.size() && root_at(hashes_, checkpoint.size) == checkpoint.root) {
    return {};
  }
  return fail(ErrorCode::kCorruption,
              "the " + whose + " checkpoint of " + std::to_string(checkpoint.size) +
                  " entries does not belong to the " + std::to_string(hashes_.size()) +
                  " entries in the store: was an old copy restored? Nothing is signed");
}

Result<void> Sequencer::recover_publication() {
  COSHARD_TRY(note_key());
  if (const auto named = folder_->read(kVkeyFile, limits::kNoteBytesMax)) {
    named_key_ = std::string(as_text(*named));
  }
  COSHARD_ASSIGN(signed_, store_->signed_checkpoint());
  std::optional<Checkpoint> promised;
  if (signed_) {
    COSHARD_ASSIGN(promised, open_own(*signed_));
    COSHARD_TRY(check_prefix(*promised, "signed"));
  }
  if (const auto file = folder_->read(kCheckpointFile, limits::kNoteBytesMax)) {
    COSHARD_ASSIGN(published_, open_own(as_text(*file)));
    COSHARD_TRY(check_prefix(*published_, "published"));
    if (!promised || published_->size > promised->size) {
      return fail(ErrorCode::kCorruption,
                  "the published checkpoint is newer than the last one signed: was an old copy of "
                  "the store restored? Nothing is signed");
    }
  } else if (file.error().code != ErrorCode::kNotFound) {
    return tl::unexpected(file.error());
  }
  COSHARD_ASSIGN(const std::vector<std::string> names, folder_->list(""));
  std::vector<TileId> present;
  for (const std::string& name : names) {
    if (is_temporary(name)) COSHARD_TRY(folder_->remove(name));
    if (const auto tile = TileId::parse(name)) present.push_back(*tile);
  }
  COSHARD_ASSIGN(const std::vector<SideFile> files, store_->side_files());
  for (const SideFile& file : files) {
    if (!std::binary_search(names.begin(), names.end(), file.path))
      unpublished_files_.push_back(file);
  }
  if (!promised) return {};
  std::vector<std::uint64_t> kept{promised->size};
  if (publication_ == Publication::kWhenCosigned) {
    // Asked for again even where it has cosignatures: witnesses say whether this log forgot some.
    if (published_) kept.push_back(published_->size);
    COSHARD_TRY(release(*signed_, *promised));
  } else if (!published_ || *published_ != *promised) {
    COSHARD_TRY(release(*signed_, *promised));
  }
  older_size_ = kept.back();
  return prune_partials(*folder_, present, kept);
}

Result<LogIndex> Sequencer::append(const VerifiedBody& verified, std::vector<SideFile> files) {
  COSHARD_TRY(require_healthy());
  COSHARD_CHECK(verified.network() ==
                (accounts_.has_genesis() ? accounts_.network() : crypto::kNoNetwork));
  const SignedBody& body = verified.signed_body();
  const Hash event = event_id(verified.body());
  COSHARD_ASSIGN(const auto known, find_event(event, body.body));
  if (known) return *known;
  LedgerEntry entry;
  entry.index = LogIndex(hashes_.size());
  entry.seq_ms = std::max(clock_->wall_ms(), accounts_.last_ms());  // clocks go back, logs do not
  entry.body = body.body;
  entry.signatures = body.signatures;
  const Bytes bytes = encode(entry);
  if (bytes.size() > limits::kEntryBytesMax) {
    return fail(ErrorCode::kInvalidArgument,
                "an entry of at most " + std::to_string(limits::kEntryBytesMax) +
                    " bytes was expected, found " + std::to_string(bytes.size()));
  }
  COSHARD_TRY(accounts_.apply(entry.index, entry, SignatureCheck::kDone));
  grow(bytes, event);
  waiting_.push_back(bytes);
  std::move(files.begin(), files.end(), std::back_inserter(waiting_files_));
  return entry.index;
}

Result<void> Sequencer::commit() {
  COSHARD_TRY(require_healthy());
  if (waiting_.empty()) return {};
  if (auto stored = store_->append(durable_, waiting_, waiting_files_); !stored) {
    failed_ = true;  // the fold is ahead of the store
    return stored;
  }
  durable_ += waiting_.size();
  waiting_.clear();
  std::move(waiting_files_.begin(), waiting_files_.end(), std::back_inserter(unpublished_files_));
  waiting_files_.clear();
  return {};
}

Result<Checkpoint> Sequencer::publish() {
  COSHARD_TRY(commit());
  if (durable_ == 0) return fail(ErrorCode::kFailedPrecondition, "the log has no genesis entry");
  if (pending_) return published_.value_or(pending_->checkpoint);
  if (published_ && published_->size == durable_) return *published_;
  COSHARD_ASSIGN(const NoteKey key, note_key());
  const Checkpoint next{key.name, durable_, tree_.root()};
  COSHARD_ASSIGN(const std::string note, sign(next));
  failed_ = true;  // until everything below is done
  COSHARD_TRY(store_->swap_signed_checkpoint(signed_, note));
  signed_ = note;
  COSHARD_TRY(release(note, next));
  failed_ = false;
  return published_.value_or(next);
}

/// A signed checkpoint's tiles, and itself where nobody has to cosign it.
Result<void> Sequencer::release(const std::string& note, const Checkpoint& checkpoint) {
  COSHARD_TRY(write_tiles(checkpoint));
  if (publication_ == Publication::kAtOnce) return write_checkpoint(note, checkpoint);
  pending_ = PendingCheckpoint{checkpoint, note};
  return {};
}

Result<void> Sequencer::publish_cosigned(const std::string& note) {
  COSHARD_TRY(require_healthy());
  COSHARD_ASSIGN(const Checkpoint checkpoint, open_own(note));
  const bool waits = pending_ && pending_->checkpoint == checkpoint;
  if (!waits && published_ != checkpoint) {
    return fail(ErrorCode::kInvalidArgument, "the pending checkpoint was expected, found one of " +
                                                 std::to_string(checkpoint.size) + " entries");
  }
  failed_ = true;  // until it is written
  COSHARD_TRY(write_checkpoint(note, checkpoint));
  failed_ = false;
  if (waits) pending_.reset();
  return {};
}

Result<void> Sequencer::write_tiles(const Checkpoint& checkpoint) {
  const std::uint64_t before = published_ ? published_->size : 0;
  if (!published_) COSHARD_TRY(name_key());  // witnesses are told it before the first checkpoint
  COSHARD_TRY(folder_->write_all(std::exchange(unpublished_files_, {})));
  const auto from_store = [this](std::uint64_t first, std::uint64_t count) {
    return store_->read(first, count);
  };
  return publish_tiles(*folder_, before, checkpoint.size, hashes_, from_store);
}

/// The file that names the log's key, where it does not name this one yet.
Result<void> Sequencer::name_key() {
  COSHARD_ASSIGN(const NoteKey key, note_key());
  const std::string vkey = key.vkey() + "\n";
  if (named_key_ == vkey) return {};
  COSHARD_TRY(folder_->write(kVkeyFile, as_bytes(vkey)));
  named_key_ = vkey;
  return {};
}

Result<void> Sequencer::write_checkpoint(const std::string& note, const Checkpoint& checkpoint) {
  const std::uint64_t before = published_ ? published_->size : 0;
  COSHARD_TRY(folder_->write(kCheckpointFile, as_bytes(note)));
  // A new key's name follows the first checkpoint that it signs: readers of the old one see a
  // checkpoint that both signed.
  COSHARD_TRY(name_key());
  published_ = checkpoint;
  if (before == checkpoint.size) return {};
  const std::uint64_t kept[2] = {before, checkpoint.size};
  COSHARD_TRY(prune_partials(*folder_, partial_tiles_of(older_size_), kept));
  older_size_ = before;
  return {};
}

}  // namespace coshard::ledger
