// SPDX-License-Identifier: Apache-2.0
#include "node/cli/ledger_queries.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <nlohmann/json.hpp>

#include "node/cli/exit_code.h"
#include "node/cli/ledger_folder.h"
#include "node/cli/ledger_proofs.h"
#include "node/progress.h"
#include "protocol/base/int128.h"

namespace coshard::cli {
namespace {

using Json = nlohmann::ordered_json;
using ledger::Balance;
using node::render_count;

int problem(std::ostream& err, const Error& error) {
  err << "coshard: " << error.message << "\n";
  const bool bad_input =
      error.code == ErrorCode::kInvalidArgument || error.code == ErrorCode::kNotFound;
  return bad_input ? kBadInput : kFailed;
}

/// A ledger that was found and does not read is a failed verification, whatever the reason.
int unverified(std::ostream& err, const Error& error) {
  err << "coshard: ledger does not verify: " << error.message << "\n";
  return kFailed;
}

/// Columns as wide as their widest cell; the first two to the left, numbers to the right.
void print_table(std::ostream& out, const std::vector<std::vector<std::string>>& rows,
                 std::size_t left_columns) {
  std::vector<std::size_t> widths(rows.front().size(), 0);
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string pad(widths[i] - row[i].size(), ' ');
      line += (i == 0 ? "" : "  ") + (i < left_columns ? row[i] + pad : pad + row[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out << line << "\n";
  }
}

std::uint64_t share_ppm(const Balance& balance, const ledger::UnitTotals& totals) {
  const std::uint64_t emitted = totals.posted + totals.pending;
  if (emitted == 0) return 0;
  return static_cast<std::uint64_t>(uint128_t{balance.posted + balance.pending} * 1'000'000 /
                                    emitted);
}

/// 123456 parts per million -> "12.3456 %"
std::string percent(std::uint64_t ppm) {
  std::string fraction = std::to_string(ppm % 10'000);
  fraction.insert(0, 4 - fraction.size(), '0');
  return std::to_string(ppm / 10'000) + "." + fraction + " %";
}

std::string utc(std::uint64_t milliseconds) {
  const std::time_t seconds = static_cast<std::time_t>(milliseconds / 1000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  const std::size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return std::string(text.data(), length);
}

Json describe(const ledger::VerifiedLedger& ledger) {
  const ledger::UnitTotals totals = ledger.accounts.totals();
  return {{"model", ledger.accounts.genesis().model},
          {"origin", ledger.checkpoint.origin},
          {"size", ledger.checkpoint.size},
          {"root", to_base64(ledger.checkpoint.root)},
          {"network", ledger.accounts.network().hex()},
          {"units",
           {{"cap", totals.cap},
            {"posted", totals.posted},
            {"pending", totals.pending},
            {"burnt", totals.burnt},
            {"remaining", totals.remaining}}}};
}

Json describe(const Balance& balance) {
  return {{"posted", balance.posted}, {"pending", balance.pending}};
}

void print_heading(std::ostream& out, const ledger::VerifiedLedger& ledger) {
  out << "model " << ledger.accounts.genesis().model << "   ledger " << ledger.checkpoint.origin
      << ", " << ledger.checkpoint.size << " entries, root " << to_base64(ledger.checkpoint.root)
      << "\n";
}

void print_totals(std::ostream& out, const ledger::UnitTotals& totals) {
  out << "units: cap " << render_count(totals.cap) << " = posted " << render_count(totals.posted)
      << " + pending " << render_count(totals.pending) << " + burnt " << render_count(totals.burnt)
      << " + not yet emitted " << render_count(totals.remaining) << "\n";
}

struct Event {
  const ledger::VerifiedEntry* entry = nullptr;
  std::string what;
  Balance after;
};

/// What an entry says about the account, or nothing; `before` and `after` are its balances.
std::string concern(const ledger::Leaf& leaf, const ledger::Accounts& accounts,
                    const AccountId& account, const Balance& before, const Balance& after) {
  const auto is_own = [&](const NodeId& node) {
    const ledger::Registration* known = accounts.find_node(node);
    return known != nullptr && known->account == account;
  };
  if (const auto* one = std::get_if<ledger::IdentityRegister>(&leaf)) {
    const auto certificate = crypto::NodeCertificate::decode(one->certificate);
    return certificate && certificate->account() == account
               ? "node " + certificate->node().short_hex() + " registered"
               : "";
  }
  if (const auto* one = std::get_if<ledger::IdentityRevoke>(&leaf)) {
    return is_own(one->node) ? "node " + one->node.short_hex() + " revoked" : "";
  }
  if (const auto* one = std::get_if<ledger::WorkBatch>(&leaf)) {
    if (!is_own(one->node)) return "";
    return "node " + one->node.short_hex() + ", stage " + std::to_string(one->stage.value) +
           ", epoch " + std::to_string(one->epoch.value) + ": " +
           render_count(one->units + one->repairs) + " units of work, " +
           render_count(one->tokens) + " tokens";
  }
  if (const auto* one = std::get_if<ledger::Credit>(&leaf)) {
    std::string text;
    for (const ledger::CreditLine& line : one->lines) {
      if (line.account != account) continue;
      text += (text.empty() ? "epoch " + std::to_string(one->epoch.value) + ": " : ", ") +
              render_count(line.units) + " for " + std::string(to_string(line.role));
    }
    return text;
  }
  if (before == after) return "";
  if (const auto* one = std::get_if<ledger::CreditPost>(&leaf)) {
    return "epoch " + std::to_string(one->epoch.value) + ": " +
           render_count(after.posted - before.posted) + " owned now";
  }
  return render_count(before.pending - after.pending) + " pending units taken back";
}

std::vector<Event> events_of(const ObservedLedger& observed, const AccountId& account) {
  std::vector<Event> out;
  Balance before;
  for (std::size_t i = 0; i < observed.ledger.entries.size(); ++i) {
    const ledger::VerifiedEntry& entry = observed.ledger.entries[i];
    const Balance after = observed.balances[i];
    std::string what = concern(entry.body.leaf, observed.ledger.accounts, account, before, after);
    if (!what.empty()) out.push_back({&entry, std::move(what), after});
    before = after;
  }
  return out;
}

/// Everything a query about one account reads: all ledgers, and the balances after each entry.
struct AccountView {
  AccountId account;
  std::vector<ObservedLedger> ledgers;
};

Result<std::vector<ObservedLedger>> read_all(const LedgerQuery& query, Depth depth,
                                             const std::optional<AccountId>& account,
                                             const std::vector<std::filesystem::path>& folders) {
  std::vector<ObservedLedger> out;
  for (const std::filesystem::path& folder : folders) {
    COSHARD_ASSIGN(ObservedLedger one, read_folder(folder, query, depth, account));
    out.push_back(std::move(one));
  }
  return out;
}

/// Runs `answer` with the ledgers and the account; reports what stands in the way.
template <class Answer>
int with_account(const LedgerQuery& query, std::ostream& err, Answer answer) {
  const auto folders = find_ledgers(query, /*only_one=*/false);
  if (!folders) return problem(err, folders.error());
  const auto first = read_all(query, Depth::kBalances, std::nullopt, *folders);
  if (!first) return unverified(err, first.error());
  const auto account = find_account(query.account, *first);
  if (!account) return problem(err, account.error());
  const auto ledgers = read_all(query, Depth::kBalances, account.value(), *folders);
  if (!ledgers) return unverified(err, ledgers.error());
  answer(AccountView{*account, std::move(*ledgers)});
  return kDone;
}

}  // namespace

int run_ownership(const LedgerQuery& query, std::ostream& out, std::ostream& err) {
  const auto folders = find_ledgers(query, /*only_one=*/true);
  if (!folders) return problem(err, folders.error());
  const auto read = read_folder(folders->front(), query, Depth::kBalances, std::nullopt);
  if (!read) return unverified(err, read.error());
  const ledger::VerifiedLedger& ledger = read->ledger;
  const ledger::UnitTotals totals = ledger.accounts.totals();
  std::vector<std::pair<AccountId, Balance>> owners(ledger.accounts.balances().begin(),
                                                    ledger.accounts.balances().end());
  std::stable_sort(owners.begin(), owners.end(), [](const auto& a, const auto& b) {
    return a.second.posted + a.second.pending > b.second.posted + b.second.pending;
  });
  if (query.json) {
    Json json = describe(ledger);
    json["owners"] = Json::array();
    for (const auto& [account, balance] : owners) {
      Json row = describe(balance);
      row["account"] = account.hex();
      row["share_ppm"] = share_ppm(balance, totals);
      json["owners"].push_back(std::move(row));
    }
    out << json.dump(2) << "\n";
    return kDone;
  }
  print_heading(out, ledger);
  std::vector<std::vector<std::string>> rows{{"ACCOUNT", "POSTED", "PENDING", "SHARE"}};
  for (const auto& [account, balance] : owners) {
    rows.push_back({account.hex(), render_count(balance.posted), render_count(balance.pending),
                    percent(share_ppm(balance, totals))});
  }
  print_table(out, rows, 1);
  print_totals(out, totals);
  return kDone;
}

int run_balance(const LedgerQuery& query, std::ostream& out, std::ostream& err) {
  return with_account(query, err, [&](const AccountView& view) {
    Json models = Json::array();
    std::vector<std::vector<std::string>> rows{{"MODEL", "POSTED", "PENDING", "OWED", "PAID"}};
    for (const ObservedLedger& one : view.ledgers) {
      const Balance balance = one.ledger.accounts.balance(view.account);
      Json row = describe(balance);
      row["model"] = one.ledger.accounts.genesis().model;
      row["owed"] = 0;  // no revenue is booked in ledgers of this version
      row["paid"] = 0;
      models.push_back(std::move(row));
      rows.push_back({one.ledger.accounts.genesis().model, render_count(balance.posted),
                      render_count(balance.pending), "0", "0"});
    }
    if (query.json) {
      out << Json{{"account", view.account.hex()}, {"models", models}}.dump(2) << "\n";
      return;
    }
    out << "account " << view.account.hex() << "\n";
    print_table(out, rows, 1);
  });
}

int run_statement(const LedgerQuery& query, std::ostream& out, std::ostream& err) {
  return with_account(query, err, [&](const AccountView& view) {
    Json json{{"account", view.account.hex()}, {"events", Json::array()}};
    std::vector<std::vector<std::string>> rows{
        {"MODEL", "INDEX", "TIME", "ENTRY", "WHAT", "POSTED", "PENDING"}};
    for (const ObservedLedger& one : view.ledgers) {
      const std::string model = one.ledger.accounts.genesis().model;
      for (const Event& event : events_of(one, view.account)) {
        const std::string type(to_string(ledger::type_of(event.entry->body.leaf)));
        json["events"].push_back({{"model", model},
                                  {"index", event.entry->index.value},
                                  {"time_ms", event.entry->seq_ms},
                                  {"entry", type},
                                  {"what", event.what},
                                  {"posted", event.after.posted},
                                  {"pending", event.after.pending}});
        rows.push_back({model, std::to_string(event.entry->index.value), utc(event.entry->seq_ms),
                        type, event.what, render_count(event.after.posted),
                        render_count(event.after.pending)});
      }
    }
    if (query.json) {
      out << json.dump(2) << "\n";
      return;
    }
    out << "account " << view.account.hex() << "\n";
    print_table(out, rows, 5);
  });
}

int run_verify(const LedgerQuery& query, std::ostream& out, std::ostream& err) {
  const auto folders = find_ledgers(query, /*only_one=*/false);
  if (!folders) return problem(err, folders.error());
  const auto ledgers = read_all(query, Depth::kEverything, std::nullopt, *folders);
  if (!ledgers) return unverified(err, ledgers.error());
  std::optional<AccountId> account;
  if (!query.account.empty()) {
    const auto found = find_account(query.account, *ledgers);
    if (!found) return problem(err, found.error());
    account = *found;
  }
  if (!query.seen.empty()) {
    if (ledgers->size() != 1) return problem(err, one_ledger_for_seen());
    if (const auto held = hold_against_seen(query.seen, ledgers->front().ledger); !held) {
      return unverified(err, held.error());
    }
  }
  Json json = Json::array();
  for (const ObservedLedger& one : *ledgers) {
    Json row = describe(one.ledger);
    row["verified"] = true;
    if (!query.policy.empty()) row["witnesses"] = one.ledger.witnesses;
    row["epochs"] = one.ledger.accounts.epochs().size();
    row["state_root"] = to_hex(one.ledger.accounts.state_root());
    if (account) {
      row["account"] = describe(one.ledger.accounts.balance(*account));
      row["account"]["id"] = account->hex();
    }
    json.push_back(std::move(row));
    if (query.json) continue;
    print_heading(out, one.ledger);
    out << "verified: checkpoint signature, " << one.ledger.checkpoint.size
        << " entries and their signatures, every tile, the committed units of "
        << one.ledger.accounts.epochs().size() << " epochs, every balance\n";
    print_totals(out, one.ledger.accounts.totals());
    out << "state root " << to_hex(one.ledger.accounts.state_root()) << "\n";
    if (account) {
      const Balance balance = one.ledger.accounts.balance(*account);
      out << "account " << account->hex() << ": posted " << render_count(balance.posted)
          << ", pending " << render_count(balance.pending) << "\n";
    }
  }
  if (query.json) out << (json.size() == 1 ? json.front() : json).dump(2) << "\n";
  return kDone;
}

}  // namespace coshard::cli
