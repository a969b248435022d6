// What the coordinator says to the ledger, in its own words; everything below turns it into entries
// of the right form, signed and in sequence. Lives on the log's thread (cs-ledger). An example is
// in
// README.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "ledger/requests.h"
#include "ledger/sequencer.h"
#include "ledger/units_file.h"

namespace coshard::ledger {

/// All functions append in memory; publish() makes everything durable and visible. Nobody outside
/// may be told of an append before publish() or commit() returned. Errors are Sequencer::append's.
class RoundLedger {
 public:
  /// Opens a new or an existing log. All references outlive the object.
  static Result<RoundLedger> open(Store& store, LogFolder& folder, const crypto::KeyPair& operating,
                                  const crypto::KeyPair& log_key, const Clock& clock,
                                  Publication publication = Publication::kAtOnce);

  bool has_genesis() const { return accounts().has_genesis(); }

  /// Begins the log. Of `round`, the keys and the nonce are filled in here. Announces the first
  /// ledger epoch. kInvalidArgument names a parameter that is wrong.
  Result<NetworkId> genesis(Genesis round);
  /// The bytes of entry 0, which Welcome carries and network ids are made of.
  Result<Bytes> genesis_entry() const;

  /// Admits a node's keys; the same certificate again is its first index again.
  Result<LogIndex> register_identity(const crypto::NodeCertificate& certificate);

  /// The epoch whose steps are being trained; kFailedPrecondition when none is announced.
  Result<OpenEpoch> open_epoch() const;

  /// The epoch's last step is committed (or the round stops here: then fewer steps than
  /// announced). Publishes every unit and announces the next epoch while steps are left.
  Result<LogIndex> close_epoch(const EpochSummary& summary);

  /// A node's batch (read_work_batch), refused when it disagrees with the closed epoch.
  Result<LogIndex> admit(const VerifiedBody& batch) { return sequencer_.append(batch); }
  /// Work of the epoch that nobody has handed in yet.
  std::vector<NodeTotal> missing_batches(LedgerEpoch epoch) const;
  /// Hands in the missing batches, for nodes that are gone; returns how many.
  Result<std::size_t> admit_missing(LedgerEpoch epoch);

  /// Credits the epoch's units, pending; posted at once where a checkpoint covers them. All batches
  /// must be there. A round with one stage credits nobody: success, and nothing is appended.
  Result<void> credit(LedgerEpoch epoch);

  /// A complete checkpoint after `step` is durable, one file per stage: posts what it covers.
  Result<void> post(StepId step, std::vector<ShardHash> shards);

  /// Back to the last checkpoint; steps after it will be executed again in epochs from `next_epoch`
  /// on. First close_epoch() with the steps that were committed. Said again it does nothing.
  Result<void> rollback(StepId to_step, LedgerEpoch next_epoch, std::string reason);

  /// The round has ended for good: burns what was not emitted, if anything.
  Result<void> burn_rest(std::string reason);

  /// Appends a leaf that the coordinator says of itself: revenue, payouts, penalties, keys.
  Result<LogIndex> say(const Leaf& leaf);
  /// Hands the log over to another key; `overlap` more entries are signed under both. `next`
  /// outlives the object, and is durable where the next open() finds it.
  Result<LogIndex> rotate_log_key(const crypto::KeyPair& next, std::uint64_t overlap);
  /// After a restart within an overlap: the key that still signs beside the one in force.
  void set_former_log_key(const crypto::KeyPair& former) { sequencer_.set_former_log_key(former); }

  /// Commits to every account as it stands, so that balances are proved by two inclusion proofs.
  /// Done where credits are posted and at the end; also wanted after revenue and payouts.
  Result<void> snapshot();

  /// What a request asks for (read_request). kFailedPrecondition: there is no log yet.
  Result<Asked> read(ByteView request) const;
  /// Does what is asked and returns the entries' indices; repeated, the same ones. `now_ms` is for
  /// limits on how much somebody may append. Errors of Sequencer::append; kResourceExhausted: too
  /// much of one account. After an error in the middle of the operator's list, what comes before it
  /// is appended.
  Result<std::vector<LogIndex>> submit(const Asked& asked, std::uint64_t now_ms);

  Result<void> commit() { return sequencer_.commit(); }
  Result<Checkpoint> publish() { return sequencer_.publish(); }
  /// What waits for witnesses, and its publication (Sequencer).
  const std::optional<PendingCheckpoint>& pending() const { return sequencer_.pending(); }
  Result<void> publish_cosigned(const std::string& note) {
    return sequencer_.publish_cosigned(note);
  }
  const LevelHashes& hashes() const { return sequencer_.hashes(); }
  const Accounts& accounts() const { return sequencer_.accounts(); }

 private:
  RoundLedger(Sequencer sequencer, const crypto::KeyPair& operating, Store& store)
      : sequencer_(std::move(sequencer)), operating_(&operating), store_(&store) {}

  Result<LogIndex> append(const Leaf& leaf, std::vector<SideFile> files = {});
  Hash seed_of(LedgerEpoch epoch) const;
  Result<void> announce_next();
  Result<void> settle();

  class Said;
  Result<LogIndex> submit(const VerifiedBody& asked, std::uint64_t now_ms);
  Result<LogIndex> submit(const Leaf& leaf, std::uint64_t now_ms);
  Result<std::vector<LogIndex>> submit(const OperatorLeaves& asked);
  Result<LogIndex> say_once(const Leaf& leaf, const Said& said);
  Result<Said> said_since(LogIndex since);
  Result<LogIndex> snapshot_once();
  Result<std::optional<LogIndex>> find_statement(const RevenueReported& leaf) const;

  Sequencer sequencer_;
  const crypto::KeyPair* operating_;
  Store* store_;
  RequestLimiter limiter_;
};

/// "units/<epoch>", relative to the log's folder.
std::string units_path(LedgerEpoch epoch);

}  // namespace coshard::ledger
