// SPDX-License-Identifier: Apache-2.0
#include "ledger/ledger_index.h"

#include <algorithm>
#include <set>

#include "ledger/bundle_check.h"
#include "ledger/concerned.h"
#include "ledger/store/index_lock.h"
#include "protocol/base/check.h"

namespace coshard::ledger {

/// What one transaction writes.
struct LedgerIndex::Batch {
  LogPosition position;
  std::set<AccountId> touched;
  std::vector<std::pair<AccountId, AccountEvent>> events;
  std::vector<RevenueEvent> revenues;
  std::vector<Bytes> entries;  // for the tail
  std::uint64_t first = 0;     // index of entries.front()
};

Result<LedgerIndex> LedgerIndex::open(IndexOptions options, const NoteKey& key) {
  LedgerIndex out(std::move(options), key);
  COSHARD_TRY(out.open_file());
  return out;
}

Result<void> LedgerIndex::open_file() {
  auto opened = open_index_file(options_.file, key_.vkey());
  if (!opened && opened.error().code == ErrorCode::kCorruption && !in_memory()) {
    if (options_.notice) options_.notice(opened.error().message);
    remove_index(options_.file);
    opened = open_index_file(options_.file, key_.vkey());
  }
  if (!opened) return tl::unexpected(std::move(opened.error()));
  file_ = std::move(*opened);
  whole_.reset();
  position_ = {};
  note_.clear();
  tail_ = 0;
  return {};
}

Result<void> LedgerIndex::bring_up(const LogFolder& folder, const FoundCheckpoint& found) {
  fork_.reset();
  if (file_->is_damaged()) COSHARD_TRY(make_anew());
  auto done = bring_up_once(folder, found);
  if (done || !file_->is_damaged() || in_memory()) return done;
  if (options_.notice) options_.notice(done.error().message);
  COSHARD_TRY(make_anew());
  return bring_up_once(folder, found);
}

Result<void> LedgerIndex::make_anew() {
  file_.reset();
  COSHARD_ASSIGN(const IndexLock lock, IndexLock::lock(options_.file));
  remove_index(options_.file);
  return open_file();
}

/// Reads where the file stands; forgets the fold where another process went on.
Result<void> LedgerIndex::load() {
  COSHARD_ASSIGN(std::optional<IndexHead> head, file_->head());
  if (!head) {
    note_.clear();
    position_ = {};
    whole_.reset();
    return {};
  }
  if (head->position != position_) whole_.reset();
  note_ = std::move(head->note);
  position_ = std::move(head->position);
  return {};
}

Result<void> LedgerIndex::bring_up_once(const LogFolder& folder, const FoundCheckpoint& found) {
  COSHARD_TRY(load());
  const std::uint64_t size = found.checkpoint.size;
  if (size == 0) {
    return fail(ErrorCode::kCorruption,
                folder.describe("checkpoint") + ": the log has no genesis entry");
  }
  if (position_.size() < size) {
    COSHARD_ASSIGN(const IndexLock lock, IndexLock::lock(options_.file));
    COSHARD_TRY(load());  // what another process did while this one waited
    if (position_.size() < size) {
      const auto growth = LogGrowth::open(folder, position_, found.checkpoint);
      if (!growth) return diverged(folder, found, growth.error());
      COSHARD_TRY(grow(*growth, found));
    }
  }
  COSHARD_TRY(check_position(folder, found));
  checkpoint_ = found.checkpoint;
  note_ = found.note;
  return {};
}

Result<void> LedgerIndex::check_goes_on(const LogFolder& folder, const FoundCheckpoint& found) {
  COSHARD_TRY(load());
  if (position_.size() >= found.checkpoint.size) return check_position(folder, found);
  const auto growth = LogGrowth::open(folder, position_, found.checkpoint);
  return growth ? Result<void>{} : diverged(folder, found, growth.error());
}

/// That what is known of the log is all that the checkpoint promises, and the same.
Result<void> LedgerIndex::check_position(const LogFolder& folder, const FoundCheckpoint& found) {
  const std::uint64_t size = found.checkpoint.size;
  if (position_.size() > size) {
    return fail(ErrorCode::kFailedPrecondition,
                folder.describe("checkpoint") + ": is of " + std::to_string(size) +
                    " entries, but " + std::to_string(position_.size()) +
                    " were verified here before: a copy that lags behind, or a log that was set "
                    "back");
  }
  if (position_.root() != found.checkpoint.root) {
    return diverged(folder, found,
                    {ErrorCode::kFailedPrecondition,
                     folder.describe("checkpoint") + ": its root is not that of the " +
                         std::to_string(size) + " entries that were verified before"});
  }
  return {};
}

/// Why the log does not go on from what is known of it.
Result<void> LedgerIndex::diverged(const LogFolder& folder, const FoundCheckpoint& found,
                                   Error error) {
  if (error.code != ErrorCode::kFailedPrecondition) return tl::unexpected(std::move(error));
  error.code = ErrorCode::kCorruption;
  COSHARD_ASSIGN(const std::optional<LogFork> fork,
                 explain_disagreement(folder, position_, found.checkpoint));
  if (!fork) return tl::unexpected(std::move(error));
  const auto known = open_checkpoint(note_, key_);
  if (known && known->size == fork->old_size) {
    fork_ = ForkEvidence{key_, note_, found.note, fork->path};
  }
  return fail(ErrorCode::kCorruption,
              folder.describe("checkpoint") + ": the log has forked: its first " +
                  std::to_string(fork->old_size) +
                  " entries are not those that it showed and signed before");
}

Result<void> LedgerIndex::grow(const LogGrowth& growth, const FoundCheckpoint& found) {
  COSHARD_ASSIGN(const Accounts* known, whole());
  COSHARD_CHECK_OP(known->size(), ==, position_.size());
  // A state is written where a multiple of state_every is reached; bundles are never split.
  const std::uint64_t every = std::max<std::uint64_t>(options_.state_every / kTileWidth, 1);
  for (std::uint64_t at = growth.first_bundle(); at < growth.end_bundle();) {
    const std::uint64_t end = std::min((at / every + 1) * every, growth.end_bundle());
    Batch batch;
    batch.position = position_;
    batch.first = position_.size();
    Result<void> done = fold(growth, at, end, batch);
    if (done) done = commit(batch, found);
    if (!done) {
      whole_.reset();  // it has entries that the file has not
      if (in_memory()) COSHARD_TRY(open_file());
      return done;
    }
    if (options_.progress) options_.progress(position_.size(), found.checkpoint.size);
    at = end;
  }
  return {};
}

/// Bundles are read, checked and their signatures verified by several threads, a group at a time;
/// what they say is folded by this one, in order.
Result<void> LedgerIndex::fold(const LogGrowth& growth, std::uint64_t begin, std::uint64_t end,
                               Batch& batch) {
  BundleChecker checker(growth,
                        whole_->has_genesis() ? std::optional(whole_->network()) : std::nullopt,
                        options_.signatures);
  for (std::uint64_t at = begin; at < end;) {
    const std::uint64_t until = std::min(at + BundleChecker::kGroup, end);
    COSHARD_ASSIGN(std::vector<CheckedBundle> group, checker.check(at, until));
    for (CheckedBundle& bundle : group) {
      for (std::size_t i = 0; i < bundle.entries.size(); ++i) {
        const CheckedEntry& one = bundle.entries[i];
        if (auto folded = fold_entry(one.entry, one.body, batch); !folded) {
          return tl::unexpected(checker.at_entry(bundle.grown.first + i, folded.error()));
        }
        batch.position.append(bundle.grown.leaves[i]);
      }
      if (in_memory()) continue;
      std::move(bundle.grown.entries.begin(), bundle.grown.entries.end(),
                std::back_inserter(batch.entries));
    }
    at = until;
  }
  return {};
}

Result<void> LedgerIndex::fold_entry(const LedgerEntry& entry, const Body& body, Batch& batch) {
  Accounts& accounts = *whole_;
  const std::vector<AccountId> concerned =
      accounts.has_genesis() ? concerned_accounts(body, accounts) : std::vector<AccountId>{};
  std::vector<Balance> before;
  for (const AccountId& account : concerned) before.push_back(accounts.balance(account));
  const uint128_t acc = accounts.money().acc;
  COSHARD_TRY(accounts.apply(entry.index, entry, SignatureCheck::kDone));
  if (accounts.money().acc != acc) {
    batch.revenues.push_back({entry.index, entry.seq_ms, accounts.money().acc, entry.body});
  }
  for (std::size_t i = 0; i < concerned.size(); ++i) {
    batch.touched.insert(concerned[i]);
    if (!options_.describe) continue;
    AccountEvent event;
    event.after = accounts.balance(concerned[i]);
    event.what = options_.describe(body, accounts, concerned[i], before[i], event.after);
    if (event.what.empty()) continue;
    event.index = entry.index;
    event.seq_ms = entry.seq_ms;
    event.type = type_of(body.leaf);
    batch.events.emplace_back(concerned[i], std::move(event));
  }
  return {};
}

Result<void> LedgerIndex::commit(Batch& batch, const FoundCheckpoint& found) {
  const std::uint64_t size = batch.position.size();
  const bool is_state =
      size % options_.state_every == 0 || tail_ + batch.entries.size() > options_.tail_max;
  const IndexHead head{found.note, batch.position, whole_->serialize_frame()};
  const Result<void> written = file_->writing([&]() -> Result<void> {
    for (const auto& [account, event] : batch.events) {
      COSHARD_TRY(file_->add_event(account, event));
    }
    for (const RevenueEvent& event : batch.revenues) COSHARD_TRY(file_->add_revenue(event));
    for (const AccountId& account : batch.touched) {
      COSHARD_TRY(file_->put_account(account, whole_->serialize_account(account)));
    }
    COSHARD_TRY(file_->put_head(head));
    if (in_memory()) return {};
    if (is_state) {
      return file_->put_state({batch.position, whole_->serialize()}, options_.state_every);
    }
    for (std::size_t i = 0; i < batch.entries.size(); ++i) {
      COSHARD_TRY(file_->add_tail(LogIndex(batch.first + i), batch.entries[i]));
    }
    return {};
  });
  COSHARD_TRY(written);
  position_ = batch.position;
  tail_ = is_state ? 0 : tail_ + batch.entries.size();
  return {};
}

namespace {

Result<void> replay(Accounts& accounts, std::span<const Bytes> entries) {
  for (const Bytes& bytes : entries) {
    COSHARD_ASSIGN(const LedgerEntry entry, decode_entry(bytes));
    COSHARD_TRY(accounts.apply(entry.index, entry, SignatureCheck::kDone));
  }
  return {};
}

}  // namespace

Result<const Accounts*> LedgerIndex::whole() {
  if (whole_) return &*whole_;
  Accounts accounts;
  if (position_.size() > 0) {
    COSHARD_CHECK(!in_memory());
    std::vector<Bytes> tail;
    const Result<void> read = file_->reading([&]() -> Result<void> {
      COSHARD_ASSIGN(const auto state, file_->state_before(position_.size()));
      if (state) {
        COSHARD_ASSIGN(accounts, Accounts::restore(state->state));
      }
      COSHARD_ASSIGN(tail, file_->tail());
      return {};
    });
    COSHARD_TRY(read);
    tail_ = tail.size();
    const auto replayed = replay(accounts, tail);
    if (!replayed || accounts.size() != position_.size()) {
      file_->set_damaged();
      return fail(ErrorCode::kCorruption, "index " + options_.file.string() +
                                              ": its state is not that of " +
                                              std::to_string(position_.size()) + " entries");
    }
  }
  whole_ = std::move(accounts);
  return &*whole_;
}

Result<std::vector<AccountId>> LedgerIndex::find(const std::string& digits, std::size_t max) {
  return file_->find(digits, max);
}

Result<Accounts> LedgerIndex::view(std::span<const AccountId> accounts) {
  std::vector<std::pair<AccountId, Bytes>> rows;
  std::optional<IndexHead> head;
  const Result<void> read = file_->reading([&]() -> Result<void> {
    COSHARD_ASSIGN(head, file_->head());
    for (const AccountId& account : accounts) {
      COSHARD_ASSIGN(std::optional<Bytes> row, file_->account(account));
      if (row) rows.emplace_back(account, std::move(*row));
    }
    return {};
  });
  COSHARD_TRY(read);
  COSHARD_CHECK(head.has_value());
  return Accounts::restore_view(head->frame, rows);
}

Result<Accounts> LedgerIndex::view_all() {
  if (whole_) return *whole_;
  std::vector<std::pair<AccountId, Bytes>> rows;
  std::optional<IndexHead> head;
  const Result<void> read = file_->reading([&]() -> Result<void> {
    COSHARD_ASSIGN(head, file_->head());
    COSHARD_ASSIGN(rows, file_->accounts());
    return {};
  });
  COSHARD_TRY(read);
  COSHARD_CHECK(head.has_value());
  return Accounts::restore_view(head->frame, rows);
}

Result<std::vector<AccountEvent>> LedgerIndex::events(const AccountId& account, LogIndex from,
                                                      LogIndex to, std::uint64_t count) {
  std::vector<AccountEvent> own;
  std::vector<RevenueEvent> revenues;
  const Result<void> read = file_->reading([&]() -> Result<void> {
    // One more than asked for: what the account had before the first line that is wanted.
    COSHARD_ASSIGN(own, file_->events(account, {}, to, count + (count < UINT64_MAX ? 1 : 0)));
    if (own.empty() || count == 0) return {};
    COSHARD_ASSIGN(revenues, file_->revenues(std::max(from, own.front().index), to));
    return {};
  });
  COSHARD_TRY(read);
  COSHARD_ASSIGN(std::vector<AccountEvent> lines, with_revenue(account, own, revenues));
  std::erase_if(lines, [&](const AccountEvent& line) { return line.index < from; });
  const auto spare = static_cast<std::ptrdiff_t>(lines.size() - std::min(lines.size(), count));
  lines.erase(lines.begin(), lines.begin() + spare);
  return lines;
}

/// The account's own events and, among them, the revenues after the first one that brought him
/// something.
Result<std::vector<AccountEvent>> LedgerIndex::with_revenue(
    const AccountId& account, std::span<const AccountEvent> own,
    std::span<const RevenueEvent> revenues) {
  if (revenues.empty() || !options_.describe) return std::vector(own.begin(), own.end());
  COSHARD_ASSIGN(const Accounts accounts, view({}));
  std::vector<AccountEvent> out;
  Balance now;
  for (auto revenue = revenues.begin(); !own.empty() || revenue != revenues.end();) {
    if (!own.empty() && (revenue == revenues.end() || own.front().index <= revenue->index)) {
      out.push_back(own.front());
      now = own.front().after;
      own = own.subspan(1);
      continue;
    }
    AccountEvent line{revenue->index, revenue->seq_ms, {}, now, {}};
    static_cast<PoolShare&>(line.after) = settled_at(now, revenue->acc);
    if (line.after.owed > now.owed) {
      COSHARD_ASSIGN(const Body body, decode_body(revenue->body));
      line.type = type_of(body.leaf);
      line.what = options_.describe(body, accounts, account, now, line.after);
      out.push_back(line);
    }
    now = line.after;
    ++revenue;
  }
  return out;
}

Result<LedgerAt> LedgerIndex::at(const LogFolder& folder, std::uint64_t size) {
  if (size == 0 || size > checkpoint_.size) {
    return fail(ErrorCode::kInvalidArgument, "--at: expected 1 to " +
                                                 std::to_string(checkpoint_.size) +
                                                 " entries, found " + std::to_string(size));
  }
  LedgerAt out;
  LogPosition position;
  std::optional<IndexState> state;
  if (!in_memory()) {
    COSHARD_ASSIGN(state, file_->state_before(size));
  }
  if (state) {
    position = state->position;
    COSHARD_ASSIGN(out.accounts, Accounts::restore(state->state));
  }
  if (position.size() < size) {
    COSHARD_ASSIGN(const LogGrowth growth, LogGrowth::open(folder, position, checkpoint_));
    for (std::uint64_t at = growth.first_bundle(); position.size() < size; ++at) {
      COSHARD_ASSIGN(GrownBundle bundle, growth.bundle(at));
      bundle.entries.resize(std::min<std::size_t>(bundle.entries.size(), size - position.size()));
      COSHARD_TRY(replay(out.accounts, bundle.entries));
      for (std::size_t i = 0; i < bundle.entries.size(); ++i) position.append(bundle.leaves[i]);
    }
  }
  out.checkpoint = {checkpoint_.origin, size, position.root()};
  return out;
}

}  // namespace coshard::ledger
