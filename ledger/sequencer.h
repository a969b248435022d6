// The one writer of a log: judges entries, makes them durable in groups, signs checkpoints and
// publishes the files. Lives on the log's thread (cs-ledger).
//
// Order, which is what makes a crash harmless at any point:
//   1. entries are durable in the store before anybody is told their index (commit);
//   2. a checkpoint is recorded as signed, by compare-and-swap, before anybody can see it;
//   3. bundles and tiles are written before the checkpoint that promises them;
//   4. where witnesses cosign, the file `checkpoint` waits for their quorum, and nothing newer is
//      signed before: after a restart, not before a quorum has seen that this log forgot nothing.
// What a crash leaves undone is done by the next open().
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <unordered_map>

#include "ledger/accounts.h"
#include "ledger/merkle.h"
#include "ledger/store/store.h"
#include "ledger/tiles.h"
#include "protocol/base/clock.h"

namespace coshard::ledger {

/// Whether a checkpoint is published when it is signed, or when witnesses have cosigned it.
enum class Publication { kAtOnce, kWhenCosigned };

/// A checkpoint that was signed and waits for cosignatures; its tiles are in the folder.
struct PendingCheckpoint {
  Checkpoint checkpoint;
  std::string note;
};

class Sequencer {
 public:
  /// Replays the store and finishes an interrupted publication. All references outlive the
  /// sequencer. kCorruption when the store's entries do not lead to the last signed or published
  /// checkpoint (a database restored from an old backup, for example): nothing is signed then.
  static Result<Sequencer> open(Store& store, LogFolder& folder, const crypto::KeyPair& log_key,
                                const Clock& clock, Publication publication = Publication::kAtOnce);

  /// Judges a body and gives it the next index. It is durable after commit() or publish(), and only
  /// then may anybody hear of the index. The same bytes again are the same index again;
  /// kFailedPrecondition for another body of the same event. Other errors as Accounts::apply;
  /// kInvalidArgument when it does not fit in an entry.
  Result<LogIndex> append(const VerifiedBody& body, std::vector<SideFile> files = {});

  /// Makes everything appended durable, in one transaction. After an error the sequencer refuses
  /// everything: open it again.
  Result<void> commit();

  /// The log changed its key (a LogKeyRotate was appended): `next` signs from here on, and the key
  /// so far as well while the change says so. References outlive the sequencer.
  void change_log_key(const crypto::KeyPair& next) {
    former_log_key_ = log_key_;
    log_key_ = &next;
  }
  /// After a restart: the key that still signs beside the one of open().
  void set_former_log_key(const crypto::KeyPair& former) { former_log_key_ = &former; }

  /// commit(), then signs and publishes the log as it is. Nothing new: the last checkpoint again.
  /// With kWhenCosigned: signs and writes the tiles, unless a checkpoint is pending already; what
  /// comes back is the checkpoint that readers see (before there is one, the pending one).
  Result<Checkpoint> publish();

  /// Signed and not yet cosigned by a quorum.
  const std::optional<PendingCheckpoint>& pending() const { return pending_; }
  /// Publishes the pending checkpoint, or the published one with more signatures. `note` is that
  /// note with cosignatures; kInvalidArgument for another one.
  Result<void> publish_cosigned(const std::string& note);
  /// Of everything appended.
  const LevelHashes& hashes() const { return hashes_; }

  /// The fold over everything appended, durable or not.
  const Accounts& accounts() const { return accounts_; }
  const std::optional<Checkpoint>& published() const { return published_; }
  const crypto::KeyPair& log_key() const { return *log_key_; }

 private:
  Sequencer(Store& store, LogFolder& folder, const crypto::KeyPair& log_key, const Clock& clock,
            Publication publication)
      : store_(&store),
        folder_(&folder),
        log_key_(&log_key),
        clock_(&clock),
        publication_(publication) {}

  Result<void> replay();
  Result<void> recover_publication();
  Result<void> check_prefix(const Checkpoint& checkpoint, const std::string& whose) const;
  Result<NoteKey> note_key() const;
  Result<Checkpoint> open_own(std::string_view note) const;
  Result<std::string> sign(const Checkpoint& checkpoint) const;
  Result<void> write_tiles(const Checkpoint& checkpoint);
  Result<void> write_checkpoint(const std::string& note, const Checkpoint& checkpoint);
  Result<void> release(const std::string& note, const Checkpoint& checkpoint);
  Result<void> name_key();
  void grow(ByteView entry, const Hash& event);
  Result<std::optional<LogIndex>> find_event(const Hash& event, ByteView body) const;
  Result<void> require_healthy() const;

  Store* store_;
  LogFolder* folder_;
  const crypto::KeyPair* log_key_;
  const crypto::KeyPair* former_log_key_ = nullptr;
  const Clock* clock_;
  Publication publication_;
  Accounts accounts_;
  LevelHashes hashes_;  // of every entry, appended or durable
  CompactTree tree_;    // over the same
  // Where an event is, by the first eight bytes of its id: what is there is compared before it is
  // believed, so that a chosen collision only makes a repeat unrecognisable.
  std::unordered_map<std::uint64_t, std::uint64_t> events_;
  std::uint64_t durable_ = 0;
  std::vector<Bytes> waiting_;  // appended, not durable
  std::vector<SideFile> waiting_files_;
  std::vector<SideFile> unpublished_files_;  // durable, not in the folder
  std::optional<std::string> named_key_;     // what the file log.vkey says
  std::optional<std::string> signed_;
  std::optional<Checkpoint> published_;
  std::optional<PendingCheckpoint> pending_;
  std::uint64_t older_size_ = 0;  // of the publication before the last
  bool failed_ = false;
};

}  // namespace coshard::ledger
