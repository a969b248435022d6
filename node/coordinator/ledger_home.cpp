// Opening and beginning a round's ledger.
// SPDX-License-Identifier: Apache-2.0
#include "node/coordinator/ledger_home.h"

#include "crypto/hash.h"
#include "ledger/checkpoint.h"
#include "ledger/store/sqlite_store.h"
#include "node/round_setup.h"

namespace coshard::node {

namespace {

Result<crypto::KeyPair> open_log_key(const std::filesystem::path& file,
                                     crypto::Passphrase passphrase) {
  if (!std::filesystem::exists(file)) {
    const crypto::KeyPair fresh = crypto::KeyPair::generate();
    COSHARD_TRY(crypto::write_secret_file(file, fresh.seed(), passphrase));
  }
  COSHARD_ASSIGN(const crypto::SecretBytes seed, crypto::read_secret_file(file, passphrase));
  return crypto::KeyPair::from_seed(seed.view());
}

}  // namespace

Result<std::unique_ptr<LedgerHome>> LedgerHome::open(
    const std::filesystem::path& directory, const RoundFile& round, std::string_view round_text,
    const crypto::Identity& identity, crypto::Passphrase passphrase, const Clock& clock) {
  COSHARD_ASSIGN(crypto::KeyPair log_key, open_log_key(directory / "log.key", passphrase));
  COSHARD_ASSIGN(auto store, ledger::open_sqlite_store(directory / "ledger.sqlite"));
  auto home = std::unique_ptr<LedgerHome>(new LedgerHome(std::move(log_key), std::move(store),
                                                         directory / "ledger" / round.model.name));
  COSHARD_ASSIGN(home->ledger_,
                 ledger::RoundLedger::open(*home->store_, home->folder_, identity.operating(),
                                           home->log_key_, clock));
  if (!home->ledger_->has_genesis()) COSHARD_TRY(home->begin(round, round_text));
  if (home->ledger_->accounts().genesis().round_hash != crypto::sha256(as_bytes(round_text)))
    return fail(ErrorCode::kFailedPrecondition,
                "the ledger in " + directory.string() +
                    " is of another round file; start this one in a folder of its own, or give "
                    "back the file that the round began with");
  COSHARD_ASSIGN(home->genesis_entry_, home->ledger_->genesis_entry());
  return home;
}

Result<void> LedgerHome::begin(const RoundFile& round, std::string_view round_text) {
  COSHARD_ASSIGN(ledger::Genesis genesis, genesis_of(round, round_text));
  COSHARD_TRY(ledger_->genesis(std::move(genesis)));
  COSHARD_TRY(ledger_->publish());
  return {};
}

}  // namespace coshard::node
