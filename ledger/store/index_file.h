// The rows of a reader's index of one log, in one SQLite file (ledger_index.h says what they mean).
// Everything can be made again from the log: commits are atomic and not fsynced one by one. Rows
// carry a digest, so that a damaged file is noticed and made anew. One thread at a time; several
// processes may read, and one at a time writes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ledger/accounts.h"
#include "ledger/log_growth.h"

namespace coshard::ledger {

/// Where the index stands.
struct IndexHead {
  std::string note;      ///< checkpoint under which the entries were verified
  LogPosition position;  ///< of the entries that are in the index
  Bytes frame;           ///< Accounts::serialize_frame() after them
  template <class Codec, class Self>
  static void state(Codec& codec, Self& self) {
    Bytes note = to_bytes(as_bytes(self.note));
    codec(note, self.position, self.frame);
    if constexpr (!std::is_const_v<Self>) self.note = std::string(as_text(note));
  }
};

/// An entry that concerns an account.
struct AccountEvent {
  LogIndex index;
  std::uint64_t seq_ms = 0;
  LeafType type{};
  Balance after;     ///< its share of revenue included; without paid
  std::string what;  ///< in words
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.index);
    codec(2, self.seq_ms);
    codec(3, self.type);
    codec(4, self.after.posted);
    codec(5, self.after.pending);
    codec(6, self.after.bonded);
    codec(7, self.after.owed);
    codec(8, self.after.in_flight);
    codec(9, self.after.entries);
    codec(10, self.after.payouts);
    codec(11, self.what);
    codec(12, self.after.frac);
    codec(13, self.after.last);
  }
};

/// An entry that brought money to everybody who owned units: revenue, or a correction of it. What
/// it brought to one account follows from his units then and the accumulator after it.
struct RevenueEvent {
  LogIndex index;
  std::uint64_t seq_ms = 0;
  uint128_t acc = 0;  ///< MoneyTotals::acc after the entry
  Bytes body;         ///< of the entry
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.index);
    codec(2, self.seq_ms);
    codec(3, self.acc);
    codec(4, self.body);
  }
};

/// A whole state (Accounts::serialize()) at an earlier size.
struct IndexState {
  LogPosition position;
  Bytes state;
};

class IndexFile {
 public:
  virtual ~IndexFile() = default;

  virtual Result<std::optional<IndexHead>> head() = 0;
  virtual Result<std::optional<Bytes>> account(const AccountId& account) = 0;
  virtual Result<std::vector<std::pair<AccountId, Bytes>>> accounts() = 0;
  /// At most `max` accounts whose hexadecimal id begins with `digits`.
  virtual Result<std::vector<AccountId>> find(const std::string& digits, std::size_t max) = 0;
  /// The account's events with from <= index < to, the last `count` of them, ascending.
  virtual Result<std::vector<AccountEvent>> events(const AccountId& account, LogIndex from,
                                                   LogIndex to, std::uint64_t count) = 0;
  /// Those with from <= index < to, ascending.
  virtual Result<std::vector<RevenueEvent>> revenues(LogIndex from, LogIndex to) = 0;
  /// The latest whole state of at most `size` entries; nothing when there is none.
  virtual Result<std::optional<IndexState>> state_before(std::uint64_t size) = 0;
  /// Entries after the last whole state, up to the head.
  virtual Result<std::vector<Bytes>> tail() = 0;

  /// What others read is the file as it was when `read` began.
  virtual Result<void> reading(const std::function<Result<void>()>& read) = 0;
  /// All or nothing.
  virtual Result<void> writing(const std::function<Result<void>()>& write) = 0;

  // Inside of writing():
  virtual Result<void> put_head(const IndexHead& head) = 0;
  virtual Result<void> put_account(const AccountId& account, const Bytes& state) = 0;
  virtual Result<void> add_event(const AccountId& account, const AccountEvent& event) = 0;
  virtual Result<void> add_revenue(const RevenueEvent& event) = 0;
  virtual Result<void> add_tail(LogIndex index, const Bytes& entry) = 0;
  /// Empties the tail. Of the states of sizes that are no multiple of `every`, only this one stays.
  virtual Result<void> put_state(const IndexState& state, std::uint64_t every) = 0;

  /// True once a row or the file was found to be damaged: remove_index() and begin again.
  virtual bool is_damaged() const = 0;
  virtual void set_damaged() = 0;
};

/// Opens or creates an index of the log with this key; an empty path: in memory. kCorruption when
/// the file is damaged, foreign or of another version (remove_index() then), other codes when it
/// cannot be opened.
Result<std::unique_ptr<IndexFile>> open_index_file(const std::filesystem::path& path,
                                                   const std::string& vkey);

/// Removes the file and what SQLite has beside it.
void remove_index(const std::filesystem::path& path);

}  // namespace coshard::ledger
