// SPDX-License-Identifier: Apache-2.0
#include "node/cli/ledger_view.h"

#include <algorithm>
#include <limits>

#include "crypto/hash.h"
#include "node/cli/ledger_folder.h"
#include "node/cli/ledger_trust.h"
#include "node/cli/ledger_words.h"
#include "node/progress.h"

namespace coshard::cli {
namespace {

namespace fs = std::filesystem;
using ledger::LogFolder;

/// Tries while a coordinator that runs keeps publishing.
constexpr int kTries = 5;

tl::unexpected<Error> bad(const std::string& message) {
  return fail(ErrorCode::kInvalidArgument, message);
}

ledger::IndexOptions options_of(const fs::path& file, std::ostream& err) {
  ledger::IndexOptions options;
  options.file = file;
  options.describe = [](const ledger::Body& body, const ledger::Accounts& accounts,
                        const AccountId& account, const ledger::Balance& before,
                        const ledger::Balance& after) {
    return words_for(body.leaf, accounts, account, before, after);
  };
  options.progress = [&err](std::uint64_t done, std::uint64_t total) {
    if (done == total) return;  // of a small log nothing is said
    err << "coshard: verified " << node::render_count(done) << " of " << node::render_count(total)
        << " entries" << std::endl;
  };
  options.notice = [&err](const std::string& why) {
    err << "coshard: " << why << "; making it anew" << std::endl;
  };
  return options;
}

}  // namespace

fs::path index_file_of(const LedgerQuery& query, const ledger::NoteKey& key) {
  if (query.index_folder.empty()) return {};
  std::string model = key.name.substr(key.name.rfind('/') + 1);
  std::replace_if(
      model.begin(), model.end(),
      [](char c) { return !(c == '-' || c == '_' || std::isalnum(static_cast<unsigned char>(c))); },
      '_');
  constexpr std::size_t kDigits = 16;
  const std::string digest = to_hex(crypto::sha256(as_bytes(key.vkey())));
  return query.index_folder / (model.substr(0, 64) + "-" + digest.substr(0, kDigits) + ".db");
}

Result<OpenLedger> OpenLedger::open(std::shared_ptr<const LogFolder> folder,
                                    const LedgerQuery& query, std::ostream& err) {
  COSHARD_ASSIGN(const ledger::ReaderTrust trust, trust_of(query));
  COSHARD_ASSIGN(ledger::LogHead head, ledger::read_head(*folder, trust));
  const fs::path file = index_file_of(query, head.key);
  COSHARD_ASSIGN(ledger::LedgerIndex index,
                 ledger::LedgerIndex::open(options_of(file, err), head.key));
  OpenLedger out(std::move(folder), query, std::move(index));
  out.trust_ = trust;
  out.head_ = std::move(head);
  COSHARD_TRY(out.bring_up());
  COSHARD_TRY(out.check());
  return out;
}

Result<void> OpenLedger::bring_up() {
  for (int tries = 1;; ++tries) {
    const auto done = index_.bring_up(*folder_, {head_.note, head_.checkpoint});
    if (done) return {};
    // The files of one log never change but by growing: a new checkpoint explains a failure.
    auto now = ledger::read_head(*folder_, trust_);
    if (tries < kTries && now && now->note != head_.note && now->key == head_.key) {
      head_ = std::move(*now);
      continue;
    }
    return tl::unexpected(with_evidence(done.error(), index_.fork()));
  }
}

/// The error, and where the file is that convinces others of it, if anything can.
Error OpenLedger::with_evidence(Error error, const std::optional<ledger::ForkEvidence>& fork) {
  if (!fork || !ledger::examine(*fork)) return error;
  const fs::path evidence = index_file_of(query_, head_.key).replace_extension(".fork");
  ledger::DiskFolder place(evidence.parent_path());
  if (place.write(evidence.filename().string(), as_bytes(fork->format()))) {
    error.message += "; the evidence is in " + evidence.string() +
                     " (coshard verify --evidence shows what it proves)";
  }
  return error;
}

/// A log that changed its key has an index under each: what was verified under a former key has to
/// be a part of what the log says now. Compared once; the newer index knows all of it then.
Result<void> OpenLedger::check_former_keys(const ledger::Accounts& accounts) {
  if (query_.index_folder.empty()) return {};
  for (const ledger::LogKey& one : accounts.log_keys()) {
    const ledger::NoteKey key{head_.key.name, one.key};
    const fs::path file = index_file_of(query_, key);
    std::error_code error;
    if (key == head_.key || !fs::exists(file, error)) continue;
    ledger::IndexOptions options;
    options.file = file;
    COSHARD_ASSIGN(ledger::LedgerIndex former, ledger::LedgerIndex::open(options, key));
    const auto goes_on = former.check_goes_on(*folder_, {head_.note, head_.checkpoint});
    if (!goes_on) {
      return tl::unexpected(
          with_evidence(goes_on.error().within("since the log changed its key"), former.fork()));
    }
    ledger::remove_index(file);
  }
  return {};
}

/// That the key is the log's, by what the log says itself, and the model the one asked for.
Result<void> OpenLedger::check() {
  COSHARD_ASSIGN(const ledger::Accounts accounts, ask([&] { return index_.view({}); }));
  COSHARD_TRY(ledger::check_log_key(*folder_, head_, accounts));
  COSHARD_TRY(check_former_keys(accounts));
  if (query_.model.empty() || accounts.genesis().model == query_.model) return {};
  return bad("the ledger of model " + query_.model + " was expected in " + folder_->describe("") +
             ", found " + accounts.genesis().model);
}

/// A question to the index; where that is damaged, once more to one that is made anew.
template <class Ask>
auto OpenLedger::ask(Ask question) -> decltype(question()) {
  auto answer = question();
  if (answer || !index_.is_damaged()) return answer;
  COSHARD_TRY(bring_up());
  return question();
}

Result<std::vector<AccountId>> OpenLedger::find(const std::string& digits, std::size_t max) {
  return ask([&] { return index_.find(digits, max); });
}

Result<LedgerView> OpenLedger::view(const std::vector<AccountId>& accounts) {
  if (query_.at) return view_all();
  COSHARD_ASSIGN(ledger::Accounts read, ask([&] { return index_.view(accounts); }));
  return LedgerView{head_.key, index_.checkpoint(), std::move(read)};
}

Result<LedgerView> OpenLedger::view_all() {
  if (query_.at) {
    COSHARD_ASSIGN(ledger::LedgerAt at, ask([&] { return index_.at(*folder_, *query_.at); }));
    return LedgerView{head_.key, at.checkpoint, std::move(at.accounts)};
  }
  COSHARD_ASSIGN(ledger::Accounts read, ask([&] { return index_.view_all(); }));
  return LedgerView{head_.key, index_.checkpoint(), std::move(read)};
}

Result<std::vector<ledger::AccountEvent>> OpenLedger::events(const AccountId& account) {
  const LogIndex end(query_.at.value_or(index_.checkpoint().size));
  return ask([&] {
    return index_.events(account, LogIndex(query_.from), end,
                         query_.last.value_or(std::numeric_limits<std::uint64_t>::max()));
  });
}

Result<std::vector<std::shared_ptr<const LogFolder>>> find_logs(const LedgerQuery& query,
                                                                bool only_one) {
  std::vector<std::shared_ptr<const LogFolder>> out;
  COSHARD_TRY(trust_of(query));
  if (query.remote) {
    out.push_back(query.remote);
    return out;
  }
  COSHARD_ASSIGN(const std::vector<fs::path> folders, find_ledgers(query, only_one));
  for (const fs::path& folder : folders) {
    out.push_back(std::make_shared<ledger::DiskFolder>(folder));
  }
  return out;
}

Result<AccountId> find_account(const std::string& text, std::vector<OpenLedger>& ledgers) {
  COSHARD_TRY(check_account_digits(text));
  std::vector<AccountId> found;
  for (OpenLedger& one : ledgers) {
    COSHARD_ASSIGN(const std::vector<AccountId> known, one.find(text, 2));
    found.insert(found.end(), known.begin(), known.end());
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  if (found.size() == 1) return found.front();
  if (found.empty()) return bad("account " + text + " occurs in no entry of this ledger");
  return bad("account " + text + " is ambiguous; give more digits");
}

}  // namespace coshard::cli
