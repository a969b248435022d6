// coshard revenue record | correct: what a model earned, said by the operator.
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <nlohmann/json.hpp>

#include "crypto/hash.h"
#include "node/amount.h"
#include "node/cli/commands.h"
#include "node/cli/exit_code.h"
#include "node/cli/ledger_desk.h"
#include "shard/data/file.h"

namespace coshard::cli {
namespace {

using node::format_amount;

constexpr std::size_t kStatementBytesMax = std::size_t{64} << 20;

/// What makes a statement one: its file, or else its reference.
Result<Hash> statement_hash(const RevenueRecordCommand& command) {
  if (!command.statement)
    return crypto::domain_hash("coshard/statement/v1", {as_bytes(command.reference)});
  COSHARD_ASSIGN(const Bytes bytes, shard::read_whole(*command.statement, kStatementBytesMax,
                                                      shard::Symlinks::kFollow));
  return crypto::sha256(bytes);
}

Result<void> expect_currency(const LedgerDesk& desk) {
  if (!desk.currency().empty()) return {};
  return fail(ErrorCode::kFailedPrecondition,
              "this ledger was begun without a currency and books no revenue");
}

struct Booked {
  LogIndex index;
  bool is_new = false;
  ledger::MoneyTotals totals;
  std::string currency;
};

Result<Booked> record(const RevenueRecordCommand& command) {
  COSHARD_ASSIGN(const Hash statement, statement_hash(command));
  COSHARD_ASSIGN(LedgerDesk desk, LedgerDesk::open(command.desk));
  COSHARD_TRY(expect_currency(desk));
  const std::uint64_t before = desk.accounts().size();
  const ledger::RevenueReported revenue{command.amount, command.reference, statement};
  COSHARD_ASSIGN(const auto indices, desk.say({revenue, ledger::StateSnapshot{}}));
  return Booked{indices.front(), indices.front().value >= before, desk.accounts().money(),
                desk.currency()};
}

Result<Booked> correct(const RevenueCorrectCommand& command) {
  COSHARD_ASSIGN(LedgerDesk desk, LedgerDesk::open(command.desk));
  const ledger::Correction leaf{LogIndex(command.entry), command.amount, command.reason};
  COSHARD_ASSIGN(const auto indices, desk.say({leaf, ledger::StateSnapshot{}}));
  return Booked{indices.front(), true, desk.accounts().money(), desk.currency()};
}

int answer(const Result<Booked>& booked, bool as_json, const std::string& what) {
  if (!booked) return report_refusal(booked.error());
  if (as_json) {
    const nlohmann::ordered_json json{{"index", booked->index.value},
                                      {"new", booked->is_new},
                                      {"currency", booked->currency},
                                      {"revenue", format_amount(booked->totals.revenue)},
                                      {"owed", format_amount(booked->totals.owed)}};
    std::printf("%s\n", json.dump().c_str());
    return kDone;
  }
  std::printf("%s%s: entry %llu; %s %s in all\n", what.c_str(),
              booked->is_new ? "" : " before, nothing is booked twice",
              static_cast<unsigned long long>(booked->index.value),
              format_amount(booked->totals.revenue).c_str(), booked->currency.c_str());
  return kDone;
}

}  // namespace

int run(const RevenueRecordCommand& command) {
  return answer(record(command), command.desk.json,
                "revenue of " + format_amount(command.amount) + " is booked");
}

int run(const RevenueCorrectCommand& command) {
  return answer(correct(command), command.desk.json,
                "entry " + std::to_string(command.entry) + " counts as " +
                    format_amount(command.amount) + " now");
}

}  // namespace coshard::cli
