// SPDX-License-Identifier: Apache-2.0
#include "node/cli/ledger_folder.h"

#include <algorithm>
#include <set>
#include <system_error>

#include "node/cli/ledger_trust.h"
#include "protocol/base/limits.h"

namespace coshard::cli {
namespace {

namespace fs = std::filesystem;

/// Tries while a coordinator that runs keeps publishing.
constexpr int kTries = 5;

bool is_ledger(const fs::path& folder) {
  std::error_code error;
  return fs::exists(folder / "checkpoint", error) || fs::exists(folder / "log.vkey", error);
}

std::vector<fs::path> ledgers_below(const fs::path& folder) {
  std::vector<fs::path> out;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (is_ledger(at->path())) out.push_back(at->path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::string names_of(const std::vector<fs::path>& folders) {
  std::string out;
  for (const fs::path& folder : folders) {
    out += (out.empty() ? "" : ", ") + folder.filename().string();
  }
  return out;
}

tl::unexpected<Error> bad(const std::string& message) {
  return fail(ErrorCode::kInvalidArgument, message);
}

std::set<AccountId> known_accounts(const std::vector<ObservedLedger>& ledgers) {
  std::set<AccountId> out;
  for (const ObservedLedger& one : ledgers) {
    const ledger::Accounts& accounts = one.ledger.accounts;
    for (const auto& [account, balance] : accounts.balances()) out.insert(account);
    for (const auto& [node, registration] : accounts.nodes()) out.insert(registration.account);
  }
  return out;
}

}  // namespace

Result<std::vector<fs::path>> find_ledgers(const LedgerQuery& query, bool only_one) {
  COSHARD_TRY(trust_of(query));
  std::error_code error;
  if (!fs::is_directory(query.ledger, error)) {
    return bad("a ledger folder was expected at " + query.ledger.string() +
               ", found none; give --ledger DIR");
  }
  std::vector<fs::path> found;
  if (is_ledger(query.ledger)) {
    found.push_back(query.ledger);
  } else {
    found = ledgers_below(query.ledger);
    if (found.empty()) found = ledgers_below(query.ledger / "ledger");
  }
  if (found.empty()) {
    return bad("a ledger was expected in " + query.ledger.string() +
               ", found no checkpoint file there or one folder below; give --ledger DIR");
  }
  if (!query.model.empty() && !is_ledger(query.ledger)) {
    const std::string all = names_of(found);
    std::erase_if(found, [&](const fs::path& one) { return one.filename() != query.model; });
    if (found.empty()) {
      return bad("model " + query.model + " has no ledger in " + query.ledger.string() +
                 "; there are: " + all);
    }
  }
  if (only_one && found.size() > 1) {
    return bad("one model was expected, found " + names_of(found) + "; name one of them");
  }
  return found;
}

Result<ObservedLedger> read_folder(const fs::path& folder, const LedgerQuery& query, Depth depth,
                                   const std::optional<AccountId>& account) {
  COSHARD_ASSIGN(const ledger::ReaderTrust trust, trust_of(query));
  const ledger::DiskFolder disk(folder);
  const auto checkpoint = [&disk] { return disk.read("checkpoint", limits::kNoteBytesMax); };
  for (int tries = 1;; ++tries) {
    const auto before = checkpoint();
    std::vector<ledger::Balance> balances;
    const auto observer = [&](const ledger::VerifiedEntry&, const ledger::Accounts& accounts) {
      if (account) balances.push_back(accounts.balance(*account));
    };
    auto read = depth == Depth::kEverything ? ledger::verify_ledger(disk, trust, observer)
                                            : ledger::read_ledger(disk, trust, observer);
    if (!read) {
      // The files of one log never change but by growing: a new checkpoint explains a failure.
      if (const auto after = checkpoint(); tries < kTries && after && before && *after != *before) {
        continue;
      }
      return tl::unexpected(read.error());
    }
    if (!query.model.empty() && read->accounts.genesis().model != query.model) {
      return bad("the ledger of model " + query.model + " was expected in " + folder.string() +
                 ", found " + read->accounts.genesis().model);
    }
    return ObservedLedger{std::move(*read), std::move(balances)};
  }
}

Result<void> check_account_digits(const std::string& text) {
  constexpr std::size_t kDigitsMin = 8;
  const bool is_hex = text.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (is_hex && text.size() >= kDigitsMin && text.size() <= 2 * sizeof(AccountId)) return {};
  return bad(
      "an account id of 64 hexadecimal digits, or at least its first 8, was expected, found " +
      (text.empty() ? "none" : text));
}

Result<AccountId> find_account(const std::string& text,
                               const std::vector<ObservedLedger>& ledgers) {
  COSHARD_TRY(check_account_digits(text));
  std::vector<AccountId> found;
  for (const AccountId& account : known_accounts(ledgers)) {
    if (account.hex().starts_with(text)) found.push_back(account);
  }
  if (found.size() == 1) return found.front();
  if (found.empty()) return bad("account " + text + " occurs in no entry of this ledger");
  return bad("account " + text + " is ambiguous; give more digits");
}

}  // namespace coshard::cli
