// coshard payout export | confirm: money goes out in two steps, so that nobody is paid twice.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "ledger/requests.h"
#include "node/amount.h"
#include "node/cli/commands.h"
#include "node/cli/exit_code.h"
#include "node/cli/ledger_desk.h"
#include "node/cli/payout_file.h"
#include "shard/data/file.h"

namespace coshard::cli {
namespace {

using ledger::Leaf;
using node::format_amount;

constexpr std::size_t kPayoutFileBytesMax = std::size_t{64} << 20;

/// Payouts of everything that is owed to accounts that are owed enough.
std::vector<Leaf> payouts_due(const ledger::Accounts& accounts) {
  std::vector<Leaf> out;
  const LedgerEpoch now(accounts.epochs().size());
  const std::uint64_t minimum = std::max<std::uint64_t>(accounts.params_at(now).minimum_payout, 1);
  for (const auto& [account, settled] : accounts.balances()) {
    const ledger::Balance balance = accounts.balance(account);
    const std::uint64_t least = balance.posted == 0 ? 1 : minimum;
    if (balance.owed < least) continue;
    out.push_back(ledger::PayoutInitiated{account, balance.payouts + 1, balance.owed});
  }
  return out;
}

/// In as many requests as it takes; what an interrupted one has done is not done again, because an
/// account whose payout has begun is owed nothing more.
Result<void> say_all(LedgerDesk& desk, std::vector<Leaf> leaves) {
  constexpr std::size_t kChunk = ledger::kRequestLeavesMax;
  if (leaves.empty()) return {};
  leaves.emplace_back(ledger::StateSnapshot{});
  for (std::size_t at = 0; at < leaves.size(); at += kChunk) {
    const auto end = static_cast<std::ptrdiff_t>(std::min(leaves.size(), at + kChunk));
    COSHARD_TRY(desk.say({leaves.begin() + static_cast<std::ptrdiff_t>(at), leaves.begin() + end}));
  }
  return {};
}

PayoutFile in_flight(const LedgerDesk& desk) {
  PayoutFile file{desk.accounts().genesis().model, desk.network(), desk.currency(), {}};
  for (const auto& [payout, amount] : desk.accounts().payouts())
    file.rows.push_back({payout.first, payout.second, amount, "in_flight", ""});
  return file;
}

Result<PayoutFile> export_payouts(const PayoutExportCommand& command, std::size_t& begun) {
  COSHARD_ASSIGN(LedgerDesk desk, LedgerDesk::open(command.desk));
  if (!command.again) {
    std::vector<Leaf> due = payouts_due(desk.accounts());
    begun = due.size();
    COSHARD_TRY(say_all(desk, std::move(due)));
  }
  return in_flight(desk);
}

struct Confirmed {
  std::size_t paid = 0;
  std::size_t failed = 0;
  std::size_t before = 0;  ///< were final already
  std::string currency;
  std::uint64_t in_flight = 0;
};

Result<std::vector<PayoutRow>> rows_to_confirm(const PayoutConfirmCommand& command,
                                               const LedgerDesk& desk) {
  if (command.file) {
    COSHARD_ASSIGN(const Bytes bytes,
                   shard::read_whole(*command.file, kPayoutFileBytesMax, shard::Symlinks::kFollow));
    auto rows = parse_payouts(as_text(bytes), desk.network());
    if (!rows) return tl::unexpected(rows.error().within(command.file->string()));
    return rows;
  }
  COSHARD_ASSIGN(const AccountId account, desk.find_account(command.account));
  const auto known = desk.accounts().payouts().find({account, command.number});
  const std::uint64_t amount = known == desk.accounts().payouts().end() ? 0 : known->second;
  return std::vector<PayoutRow>{{account, command.number, amount, "paid", command.reference}};
}

Result<Confirmed> confirm(const PayoutConfirmCommand& command) {
  if (!command.file && command.account.empty())
    return fail(ErrorCode::kInvalidArgument,
                "expected a file of payout export, or --account and --number; see coshard payout "
                "confirm --help");
  COSHARD_ASSIGN(LedgerDesk desk, LedgerDesk::open(command.desk));
  COSHARD_ASSIGN(const std::vector<PayoutRow> rows, rows_to_confirm(command, desk));
  const auto& open = desk.accounts().payouts();
  Confirmed out;
  std::vector<Leaf> leaves;
  for (const PayoutRow& row : rows) {
    const auto known = open.find({row.account, row.number});
    if (known == open.end()) {
      if (row.number > desk.accounts().balance(row.account).payouts)
        return fail(ErrorCode::kFailedPrecondition,
                    "payout " + std::to_string(row.number) + " of account " +
                        row.account.short_hex() + " has never begun: see coshard payout export");
      ++out.before;
      continue;
    }
    const bool failed = command.failed || row.status == "failed";
    ++(failed ? out.failed : out.paid);
    const std::string& reference = row.reference.empty() ? command.reference : row.reference;
    leaves.emplace_back(ledger::PayoutFinal{row.account, row.number, !failed, reference});
  }
  COSHARD_TRY(say_all(desk, std::move(leaves)));
  out.currency = desk.currency();
  out.in_flight = desk.accounts().money().in_flight;
  return out;
}

}  // namespace

int run(const PayoutExportCommand& command) {
  std::size_t begun = 0;
  const auto file = export_payouts(command, begun);
  if (!file) return report_refusal(file.error());
  const std::string text = command.format == "json" ? to_json(*file) : to_csv(*file);
  if (!command.out) {
    std::fputs(text.c_str(), stdout);
  } else if (const auto written = shard::write_atomically(*command.out, as_bytes(text)); !written) {
    return report(written.error().within("the payouts have begun; export them --again"), kFailed);
  }
  std::uint64_t sum = 0;
  for (const PayoutRow& row : file->rows) sum += row.amount;
  std::fprintf(stderr, "%zu payouts begun; %zu on their way, %s %s\n", begun, file->rows.size(),
               format_amount(sum).c_str(), file->currency.c_str());
  return kDone;
}

int run(const PayoutConfirmCommand& command) {
  const auto done = confirm(command);
  if (!done) return report_refusal(done.error());
  if (command.desk.json) {
    const nlohmann::ordered_json json{{"paid", done->paid},
                                      {"failed", done->failed},
                                      {"final_before", done->before},
                                      {"in_flight", format_amount(done->in_flight)},
                                      {"currency", done->currency}};
    std::printf("%s\n", json.dump().c_str());
    return kDone;
  }
  std::printf(
      "%zu paid, %zu came back and are owed again, %zu were final before; %s %s still on "
      "the way\n",
      done->paid, done->failed, done->before, format_amount(done->in_flight).c_str(),
      done->currency.c_str());
  return kDone;
}

}  // namespace coshard::cli
