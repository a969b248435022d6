// SPDX-License-Identifier: Apache-2.0
#include "node/cli/ledger_queries.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "ledger/distributor.h"
#include "node/cli/exit_code.h"
#include "node/cli/ledger_folder.h"
#include "node/cli/ledger_proofs.h"
#include "node/cli/ledger_view.h"
#include "node/cli/ledger_words.h"
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

/// Micro-units. Of the revenue, what is neither paid, on its way nor held is owed to owners.
Json describe(const ledger::MoneyTotals& money, const std::string& currency) {
  return {{"currency", currency},         {"revenue", money.revenue}, {"paid", money.paid},
          {"in_flight", money.in_flight}, {"held", money.held},       {"deficit", money.deficit}};
}

Json describe(const ledger::Checkpoint& checkpoint, const ledger::Accounts& accounts) {
  const ledger::UnitTotals totals = accounts.totals();
  return {{"model", accounts.genesis().model},
          {"origin", checkpoint.origin},
          {"size", checkpoint.size},
          {"root", to_base64(checkpoint.root)},
          {"network", accounts.network().hex()},
          {"units",
           {{"cap", totals.cap},
            {"posted", totals.posted},
            {"pending", totals.pending},
            {"burnt", totals.burnt},
            {"remaining", totals.remaining}}},
          {"money", describe(accounts.money(), accounts.genesis().currency)}};
}

Json describe(const Balance& balance) {
  return {{"posted", balance.posted}, {"pending", balance.pending}};
}

/// What an account has in a model, in the order of its columns below.
Json describe(const ledger::Accounts& accounts, const AccountId& account) {
  const Balance balance = accounts.balance(account);
  Json row = describe(balance);
  row["bonded"] = accounts.bonded_units(account);
  row["free"] = accounts.free_units(account);
  row["owed"] = balance.owed;  // micro-units, as the three below
  row["in_flight"] = balance.in_flight;
  row["paid"] = balance.paid;
  row["currency"] = accounts.genesis().currency;
  return row;
}

void print_heading(std::ostream& out, const ledger::Checkpoint& checkpoint,
                   const ledger::Accounts& accounts) {
  out << "model " << accounts.genesis().model << "   ledger " << checkpoint.origin << ", "
      << checkpoint.size << " entries, root " << to_base64(checkpoint.root) << "\n";
}

void print_money(std::ostream& out, const ledger::Accounts& accounts) {
  const ledger::MoneyTotals& money = accounts.money();
  const std::string& currency = accounts.genesis().currency;
  if (money.revenue == 0) return;
  out << "money: revenue " << money_text(money.revenue, currency) << ", of which paid "
      << money_text(money.paid, currency) << ", on its way "
      << money_text(money.in_flight, currency);
  if (money.held > 0)
    out << ", held until somebody owns units " << money_text(money.held, currency);
  if (money.deficit > 0)
    out << "; spread too much before a correction " << money_text(money.deficit, currency);
  out << "\n";
}

void print_totals(std::ostream& out, const ledger::UnitTotals& totals) {
  out << "units: cap " << render_count(totals.cap) << " = posted " << render_count(totals.posted)
      << " + pending " << render_count(totals.pending) << " + burnt " << render_count(totals.burnt)
      << " + not yet emitted " << render_count(totals.remaining) << "\n";
}

Result<std::vector<ObservedLedger>> read_all(const LedgerQuery& query,
                                             const std::vector<std::filesystem::path>& folders) {
  std::vector<ObservedLedger> out;
  for (const std::filesystem::path& folder : folders) {
    COSHARD_ASSIGN(ObservedLedger one,
                   read_folder(folder, query, Depth::kEverything, std::nullopt));
    out.push_back(std::move(one));
  }
  return out;
}

/// What a question about one account reads of one ledger.
struct AccountView {
  LedgerView view;
  std::vector<ledger::AccountEvent> events;
};

/// Runs `answer` with the account and what the ledgers say of it; reports what stands in the way.
template <class Answer>
int with_account(const LedgerQuery& query, std::ostream& err, Answer answer) {
  const auto logs = find_logs(query, /*only_one=*/false);
  if (!logs) return problem(err, logs.error());
  if (query.at && logs->size() > 1) {
    return problem(err, {ErrorCode::kInvalidArgument, "--at: one ledger was expected, found " +
                                                          std::to_string(logs->size()) +
                                                          "; give --ledger DIR of one"});
  }
  std::vector<OpenLedger> ledgers;
  for (const auto& log : *logs) {
    auto opened = OpenLedger::open(log, query, err);
    if (!opened) return unverified(err, opened.error());
    ledgers.push_back(std::move(*opened));
  }
  const auto account = find_account(query.account, ledgers);
  if (!account) return problem(err, account.error());
  std::vector<AccountView> views;
  for (OpenLedger& one : ledgers) {
    auto view = one.view({*account});
    if (!view) return problem(err, view.error());
    auto events = one.events(*account);
    if (!events) return problem(err, events.error());
    views.push_back({std::move(*view), std::move(*events)});
  }
  answer(*account, views);
  return kDone;
}

/// The tree's root, once its file is written.
Result<Hash> write_distributor(const ledger::Accounts& accounts,
                               const std::filesystem::path& file) {
  COSHARD_ASSIGN(const ledger::DistributorTree tree,
                 ledger::distributor_tree(ledger::distributor_shares(accounts)));
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out << ledger::distributor_json(tree);
  out.close();
  if (out) return tree.nodes.front();
  return fail(ErrorCode::kInvalidArgument, file.string() + ": could not be written");
}

}  // namespace

int run_ownership(const LedgerQuery& query, std::ostream& out, std::ostream& err) {
  const auto logs = find_logs(query, /*only_one=*/true);
  if (!logs) return problem(err, logs.error());
  auto opened = OpenLedger::open(logs->front(), query, err);
  if (!opened) return unverified(err, opened.error());
  const auto ledger = opened->view_all();
  if (!ledger) return problem(err, ledger.error());
  const ledger::UnitTotals totals = ledger->accounts.totals();
  std::optional<Hash> tree_root;
  if (!query.distributor.empty()) {
    const auto written = write_distributor(ledger->accounts, query.distributor);
    if (!written) return problem(err, written.error());
    tree_root = *written;
  }
  std::vector<std::pair<AccountId, Balance>> owners(ledger->accounts.balances().begin(),
                                                    ledger->accounts.balances().end());
  std::stable_sort(owners.begin(), owners.end(), [](const auto& a, const auto& b) {
    return a.second.posted + a.second.pending > b.second.posted + b.second.pending;
  });
  if (query.json) {
    Json json = describe(ledger->checkpoint, ledger->accounts);
    if (tree_root) json["distributor_root"] = "0x" + to_hex(*tree_root);
    json["owners"] = Json::array();
    for (const auto& [account, balance] : owners) {
      Json row = describe(ledger->accounts, account);
      row["account"] = account.hex();
      row["share_ppm"] = share_ppm(balance, totals);
      json["owners"].push_back(std::move(row));
    }
    out << json.dump(2) << "\n";
    return kDone;
  }
  print_heading(out, ledger->checkpoint, ledger->accounts);
  const bool has_money = ledger->accounts.money().revenue > 0;
  std::vector<std::vector<std::string>> rows{{"ACCOUNT", "POSTED", "PENDING", "SHARE"}};
  if (has_money) rows.front().insert(rows.front().end(), {"OWED", "IN FLIGHT"});
  for (const auto& [account, settled] : owners) {
    rows.push_back({account.hex(), render_count(settled.posted), render_count(settled.pending),
                    percent(share_ppm(settled, totals))});
    if (!has_money) continue;
    const Balance balance = ledger->accounts.balance(account);
    const std::string& currency = ledger->accounts.genesis().currency;
    rows.back().push_back(money_text(balance.owed, currency));
    rows.back().push_back(money_text(balance.in_flight, currency));
  }
  print_table(out, rows, 1);
  print_totals(out, totals);
  print_money(out, ledger->accounts);
  if (tree_root)
    out << "distributor: " << query.distributor.string() << ", root 0x" << to_hex(*tree_root)
        << "\n";
  return kDone;
}

int run_balance(const LedgerQuery& query, std::ostream& out, std::ostream& err) {
  LedgerQuery only_balance = query;
  only_balance.last = 0;
  return with_account(only_balance, err, [&](const AccountId& account, const auto& views) {
    Json models = Json::array();
    std::vector<std::vector<std::string>> rows{
        {"MODEL", "POSTED", "PENDING", "BONDED", "FREE", "OWED", "IN FLIGHT", "PAID"}};
    for (const AccountView& one : views) {
      const ledger::Accounts& accounts = one.view.accounts;
      const std::string& currency = accounts.genesis().currency;
      Json row = describe(accounts, account);
      row["model"] = accounts.genesis().model;
      row["size"] = one.view.checkpoint.size;
      const auto count = [&](const char* key) {
        return render_count(row[key].template get<std::uint64_t>());
      };
      const auto money = [&](const char* key) {
        return money_text(row[key].template get<std::uint64_t>(), currency);
      };
      rows.push_back({accounts.genesis().model, count("posted"), count("pending"), count("bonded"),
                      count("free"), money("owed"), money("in_flight"), money("paid")});
      models.push_back(std::move(row));
    }
    if (query.json) {
      out << Json{{"account", account.hex()}, {"models", models}}.dump(2) << "\n";
      return;
    }
    out << "account " << account.hex() << "\n";
    print_table(out, rows, 1);
  });
}

int run_statement(const LedgerQuery& query, std::ostream& out, std::ostream& err) {
  return with_account(query, err, [&](const AccountId& account, const auto& views) {
    Json json{{"account", account.hex()}, {"events", Json::array()}};
    std::vector<std::vector<std::string>> rows{
        {"MODEL", "INDEX", "TIME", "ENTRY", "WHAT", "POSTED", "PENDING", "OWED"}};
    for (const AccountView& one : views) {
      const std::string model = one.view.accounts.genesis().model;
      for (const ledger::AccountEvent& event : one.events) {
        const std::string type(to_string(event.type));
        json["events"].push_back({{"model", model},
                                  {"index", event.index.value},
                                  {"time_ms", event.seq_ms},
                                  {"entry", type},
                                  {"what", event.what},
                                  {"posted", event.after.posted},
                                  {"pending", event.after.pending},
                                  {"owed", event.after.owed},
                                  {"in_flight", event.after.in_flight}});
        rows.push_back({model, std::to_string(event.index.value), utc(event.seq_ms), type,
                        event.what, render_count(event.after.posted),
                        render_count(event.after.pending),
                        money_text(event.after.owed, one.view.accounts.genesis().currency)});
      }
    }
    if (query.json) {
      out << json.dump(2) << "\n";
      return;
    }
    out << "account " << account.hex() << "\n";
    print_table(out, rows, 5);
  });
}

int run_verify(const LedgerQuery& query, std::ostream& out, std::ostream& err) {
  const auto folders = find_ledgers(query, /*only_one=*/false);
  if (!folders) return problem(err, folders.error());
  const auto ledgers = read_all(query, *folders);
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
    Json row = describe(one.ledger.checkpoint, one.ledger.accounts);
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
    print_heading(out, one.ledger.checkpoint, one.ledger.accounts);
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
