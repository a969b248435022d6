// A ledger as a question sees it: verified up to its checkpoint, by the reader's index where he
// keeps one, at the size that he asks for. Home thread: main.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <ostream>
#include <vector>

#include "ledger/ledger_index.h"
#include "ledger/verify.h"
#include "node/cli/ledger_queries.h"

namespace coshard::cli {

/// `accounts` answers for the accounts that were asked for, or all of them
/// (ledger::Accounts::restore_view says which questions).
struct LedgerView {
  ledger::NoteKey key;
  ledger::Checkpoint checkpoint;  ///< with --at: of that size, as the log had it
  ledger::Accounts accounts;
};

class OpenLedger {
 public:
  /// Brings the index of the log in `folder` up to its checkpoint; tried again when a coordinator
  /// publishes meanwhile. `err` is told what takes long, or is made anew. Errors name the file.
  static Result<OpenLedger> open(std::shared_ptr<const ledger::LogFolder> folder,
                                 const LedgerQuery& query, std::ostream& err);

  /// At most `max` accounts of the log whose id begins with `digits`.
  Result<std::vector<AccountId>> find(const std::string& digits, std::size_t max);
  Result<LedgerView> view(const std::vector<AccountId>& accounts);
  Result<LedgerView> view_all();
  /// The account's entries from --from on and before --at, the --last ones.
  Result<std::vector<ledger::AccountEvent>> events(const AccountId& account);
  /// Everything, for commands that append; `query.at` does not matter.
  Result<const ledger::Accounts*> whole() { return index_.whole(); }
  ledger::LedgerIndex& index() { return index_; }
  const ledger::LogHead& head() const { return head_; }

 private:
  OpenLedger(std::shared_ptr<const ledger::LogFolder> folder, LedgerQuery query,
             ledger::LedgerIndex index)
      : folder_(std::move(folder)), query_(std::move(query)), index_(std::move(index)) {}
  Result<void> bring_up();
  Result<void> check();
  Result<void> check_former_keys(const ledger::Accounts& accounts);
  Error with_evidence(Error error, const std::optional<ledger::ForkEvidence>& fork);
  template <class Ask>
  auto ask(Ask question) -> decltype(question());

  std::shared_ptr<const ledger::LogFolder> folder_;
  LedgerQuery query_;
  ledger::LedgerIndex index_;
  ledger::ReaderTrust trust_;
  ledger::LogHead head_;
};

/// The index of a log below `query.index_folder`; empty: in memory.
std::filesystem::path index_file_of(const LedgerQuery& query, const ledger::NoteKey& key);

/// The logs that `query` means: the one that is served, or folders (find_ledgers).
Result<std::vector<std::shared_ptr<const ledger::LogFolder>>> find_logs(const LedgerQuery& query,
                                                                        bool only_one);

/// The account that `text` means among those that the ledgers know; kInvalidArgument otherwise.
Result<AccountId> find_account(const std::string& text, std::vector<OpenLedger>& ledgers);

}  // namespace coshard::cli
