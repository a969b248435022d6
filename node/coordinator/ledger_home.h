// Where a round's ledger lives on the coordinator's disk: the private store, the public folder, the
// log's own key; and how it begins. Opened on main, used by cs-ledger.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <filesystem>
#include <memory>
#include <optional>

#include "crypto/identity.h"
#include "crypto/secret_file.h"
#include "ledger/background_folder.h"
#include "ledger/round_ledger.h"
#include "ledger/store/store.h"
#include "node/round_file.h"

namespace coshard::node {

class LedgerHome {
 public:
  /// Opens the store (ledger/store/place.h; `store_place`: --ledger-store), DIR/ledger/<model>/ and
  /// DIR/log.key (made when missing, under the same passphrase as the coordinator's key), and
  /// begins the log when there is none yet. kFailedPrecondition when the log is of another round
  /// file; errors of RoundLedger::open.
  static Result<std::unique_ptr<LedgerHome>> open(
      const std::filesystem::path& directory, const RoundFile& round, std::string_view round_text,
      const crypto::Identity& identity, crypto::Passphrase passphrase, const Clock& clock,
      ledger::Publication publication = ledger::Publication::kAtOnce,
      const std::string& store_place = {});

  /// Makes DIR/log.<n>.key and hands the log over to it; `overlap` more entries are signed under
  /// the old key too. Cut short anywhere, it can be said again. Errors of the log and of the file.
  Result<LogIndex> rotate_log_key(const std::filesystem::path& directory,
                                  crypto::Passphrase passphrase, std::uint64_t overlap);

  ledger::RoundLedger& ledger() { return *ledger_; }
  /// Where the ledger publishes. The log's thread starts and finishes its background.
  ledger::BackgroundFolder& folder() { return folder_; }
  const Bytes& genesis_entry() const { return genesis_entry_; }
  NetworkId network() const { return ledger_->accounts().network(); }
  ledger::NoteKey note_key() const { return {origin(), ledger_->accounts().log_keys().back().key}; }
  const std::string& origin() const { return ledger_->accounts().genesis().origin; }

 private:
  LedgerHome(std::deque<crypto::KeyPair> log_keys, std::unique_ptr<ledger::Store> store,
             const std::filesystem::path& folder)
      : log_keys_(std::move(log_keys)), store_(std::move(store)), disk_(folder) {}
  Result<void> open_under_newest_key(const crypto::KeyPair& operating, const Clock& clock,
                                     ledger::Publication publication);
  Result<void> begin(const RoundFile& round, std::string_view round_text);

  std::deque<crypto::KeyPair> log_keys_;  // the last one is in force
  std::unique_ptr<ledger::Store> store_;
  ledger::DiskFolder disk_;
  ledger::BackgroundFolder folder_{disk_};
  std::optional<ledger::RoundLedger> ledger_;
  Bytes genesis_entry_;
};

}  // namespace coshard::node
