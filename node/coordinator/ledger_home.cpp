// Opening and beginning a round's ledger.
// SPDX-License-Identifier: Apache-2.0
#include "node/coordinator/ledger_home.h"

#include "crypto/hash.h"
#include "ledger/checkpoint.h"
#include "ledger/store/place.h"
#include "node/round_setup.h"
#include "protocol/base/check.h"

namespace coshard::node {

namespace {

/// The log's first key, second key, and so on.
std::filesystem::path log_key_file(const std::filesystem::path& directory, std::size_t number) {
  return directory / (number == 1 ? "log.key" : "log." + std::to_string(number) + ".key");
}

Result<crypto::KeyPair> open_log_key(const std::filesystem::path& file,
                                     crypto::Passphrase passphrase) {
  if (!std::filesystem::exists(file)) {
    const crypto::KeyPair fresh = crypto::KeyPair::generate();
    COSHARD_TRY(crypto::write_secret_file(file, fresh.seed(), passphrase));
  }
  COSHARD_ASSIGN(const crypto::SecretBytes seed, crypto::read_secret_file(file, passphrase));
  return crypto::KeyPair::from_seed(seed.view());
}

/// All keys of the log that are here, the newest last; the first one is made when missing.
Result<std::deque<crypto::KeyPair>> open_log_keys(const std::filesystem::path& directory,
                                                  crypto::Passphrase passphrase) {
  std::deque<crypto::KeyPair> keys;
  do {
    COSHARD_ASSIGN(crypto::KeyPair key,
                   open_log_key(log_key_file(directory, keys.size() + 1), passphrase));
    keys.push_back(std::move(key));
  } while (std::filesystem::exists(log_key_file(directory, keys.size() + 1)));
  return keys;
}

}  // namespace

Result<std::unique_ptr<LedgerHome>> LedgerHome::open(
    const std::filesystem::path& directory, const RoundFile& round, std::string_view round_text,
    const crypto::Identity& identity, crypto::Passphrase passphrase, const Clock& clock,
    ledger::Publication publication, const std::string& store_place) {
  COSHARD_ASSIGN(auto log_keys, open_log_keys(directory, passphrase));
  COSHARD_ASSIGN(auto store, ledger::open_store_at(directory, store_place));
  auto home = std::unique_ptr<LedgerHome>(new LedgerHome(std::move(log_keys), std::move(store),
                                                         directory / "ledger" / round.model.name));
  COSHARD_TRY(home->open_under_newest_key(identity.operating(), clock, publication));
  if (!home->ledger_->has_genesis()) COSHARD_TRY(home->begin(round, round_text));
  if (home->ledger_->accounts().genesis().round_hash != crypto::sha256(as_bytes(round_text)))
    return fail(ErrorCode::kFailedPrecondition,
                "the ledger in " + directory.string() +
                    " is of another round file; start this one in a folder of its own, or give "
                    "back the file that the round began with");
  COSHARD_ASSIGN(home->genesis_entry_, home->ledger_->genesis_entry());
  return home;
}

/// The newest key is not in force yet where a change of keys was cut short before it was durable.
Result<void> LedgerHome::open_under_newest_key(const crypto::KeyPair& operating, const Clock& clock,
                                               ledger::Publication publication) {
  for (std::size_t i = log_keys_.size(); i-- > 0;) {
    auto opened =
        ledger::RoundLedger::open(*store_, folder_, operating, log_keys_[i], clock, publication);
    const bool retry = !opened && i > 0 && opened.error().code == ErrorCode::kPermissionDenied;
    if (retry) continue;
    if (!opened) return tl::unexpected(opened.error());
    ledger_ = std::move(*opened);
    if (i > 0) ledger_->set_former_log_key(log_keys_[i - 1]);
    while (log_keys_.size() > i + 1) log_keys_.pop_back();
    return {};
  }
  COSHARD_CHECK(false);
}

Result<LogIndex> LedgerHome::rotate_log_key(const std::filesystem::path& directory,
                                            crypto::Passphrase passphrase, std::uint64_t overlap) {
  COSHARD_ASSIGN(crypto::KeyPair next,
                 open_log_key(log_key_file(directory, log_keys_.size() + 1), passphrase));
  log_keys_.push_back(std::move(next));
  COSHARD_ASSIGN(const LogIndex index, ledger_->rotate_log_key(log_keys_.back(), overlap));
  COSHARD_TRY(ledger_->publish());
  return index;
}

Result<void> LedgerHome::begin(const RoundFile& round, std::string_view round_text) {
  COSHARD_ASSIGN(ledger::Genesis genesis, genesis_of(round, round_text));
  COSHARD_TRY(ledger_->genesis(std::move(genesis)));
  COSHARD_TRY(ledger_->publish());
  return {};
}

}  // namespace coshard::node
