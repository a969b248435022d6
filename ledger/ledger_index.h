// What one reader has verified of one log, kept so that the next question costs milliseconds: only
// what the log has grown by is fetched, checked against its checkpoint and folded. Everything in it
// can be made again from the log. One thread at a time; several processes may share the file.
//
//     accounts   a row each: a question about one account reads one
//     events     what each entry said about an account, in words, and what he had then
//     revenues   what concerned everybody: an account's lines are made of them when he asks
//     states     the whole fold every 2^17 entries: any earlier size is a short replay away
//     tail       the entries after the last of them
//
// What it relies on is its own file, whose rows carry digests; who may write there may lie to its
// owner, as with any program of his.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ledger/store/index_file.h"

namespace coshard::ledger {

/// What an entry says about an account, for people; empty: nothing worth a line. `accounts` is the
/// fold after the entry, the balances are the account's before and after it.
using DescribeEvent =
    std::function<std::string(const Body& body, const Accounts& accounts, const AccountId& account,
                              const Balance& before, const Balance& after)>;

struct IndexOptions {
  std::filesystem::path file;  ///< empty: in memory, and no whole states
  DescribeEvent describe;      ///< none: no events
  /// Told of entries in the index and in the checkpoint, at times.
  std::function<void(std::uint64_t done, std::uint64_t total)> progress;
  /// Told when a damaged or foreign file is made anew.
  std::function<void(const std::string& why)> notice;
  /// kDone only where the log is the caller's own making (benchmarks).
  SignatureCheck signatures = SignatureCheck::kVerify;
  std::uint64_t state_every = std::uint64_t{1} << 17;  ///< entries between whole states
  std::uint64_t tail_max = std::uint64_t{1} << 13;     ///< entries that an opening replays
};

/// A log's checkpoint as a reader found it.
struct FoundCheckpoint {
  std::string note;
  Checkpoint checkpoint;
};

/// The fold at some size of a log.
struct LedgerAt {
  Checkpoint checkpoint;
  Accounts accounts;
};

class LedgerIndex {
 public:
  /// Opens or makes the index of the log with this key. Errors of the file system only.
  static Result<LedgerIndex> open(IndexOptions options, const NoteKey& key);

  /// Verifies and folds what is new under `found`, whose signatures have been checked; that the key
  /// is the log's, check_log_key() says afterwards. Errors:
  /// kCorruption naming file and entry; fork() then tells whether the log showed two histories.
  /// kFailedPrecondition: the checkpoint is older than what was verified before. kUnavailable or
  /// kResourceExhausted: folder or index cannot be read or written. What was committed stays.
  Result<void> bring_up(const LogFolder& folder, const FoundCheckpoint& found);
  /// That the log goes on from what this index knows of it; nothing is taken in. For a log that
  /// has changed its key since, and has another index. Errors as bring_up().
  Result<void> check_goes_on(const LogFolder& folder, const FoundCheckpoint& found);
  /// Of the last of these that failed.
  const std::optional<ForkEvidence>& fork() const { return fork_; }

  /// True where one of the functions below failed because the file is damaged: the next bring_up()
  /// makes it anew.
  bool is_damaged() const { return file_->is_damaged(); }

  // All below: after bring_up().
  const Checkpoint& checkpoint() const { return checkpoint_; }
  const std::string& note() const { return note_; }
  /// Accounts whose hexadecimal id begins with `digits`, at most `max`.
  Result<std::vector<AccountId>> find(const std::string& digits, std::size_t max);
  /// Accounts::restore_view() of these; reads as many rows.
  Result<Accounts> view(std::span<const AccountId> accounts);
  /// The same of all of them.
  Result<Accounts> view_all();
  /// The whole fold, as if it had been replayed; kept until the next bring_up(). What appending
  /// to the log needs to know.
  Result<const Accounts*> whole();
  /// The account's entries with from <= index < to, the last `count` of them, ascending; revenue
  /// that brought him something among them.
  Result<std::vector<AccountEvent>> events(const AccountId& account, LogIndex from, LogIndex to,
                                           std::uint64_t count);
  /// The fold at an earlier size, 0 < size <= checkpoint().size: replayed from the whole state
  /// before it, with entries from the folder that are verified again.
  Result<LedgerAt> at(const LogFolder& folder, std::uint64_t size);

 private:
  struct Batch;

  LedgerIndex(IndexOptions options, NoteKey key)
      : options_(std::move(options)), key_(std::move(key)) {}

  bool in_memory() const { return options_.file.empty(); }
  Result<void> open_file();
  Result<void> make_anew();
  Result<void> bring_up_once(const LogFolder& folder, const FoundCheckpoint& found);
  Result<void> load();
  Result<void> check_position(const LogFolder& folder, const FoundCheckpoint& found);
  Result<void> grow(const LogGrowth& growth, const FoundCheckpoint& found);
  Result<void> fold(const LogGrowth& growth, std::uint64_t begin, std::uint64_t end, Batch& batch);
  Result<void> fold_entry(const LedgerEntry& entry, const Body& body, Batch& batch);
  Result<void> commit(Batch& batch, const FoundCheckpoint& found);
  Result<std::vector<AccountEvent>> with_revenue(const AccountId& account,
                                                 std::span<const AccountEvent> own,
                                                 std::span<const RevenueEvent> revenues);
  Result<void> diverged(const LogFolder& folder, const FoundCheckpoint& found, Error error);

  IndexOptions options_;
  NoteKey key_;
  std::unique_ptr<IndexFile> file_;
  std::string note_;
  Checkpoint checkpoint_;
  LogPosition position_;           // of the head
  std::optional<Accounts> whole_;  // at position_
  std::uint64_t tail_ = 0;         // entries in the file's tail
  std::optional<ForkEvidence> fork_;
};

}  // namespace coshard::ledger
