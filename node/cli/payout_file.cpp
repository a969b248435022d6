// See payout_file.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/cli/payout_file.h"

#include <array>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "crypto/hash.h"
#include "node/amount.h"

namespace coshard::cli {
namespace {

using node::format_amount;

constexpr std::string_view kHeader = "key,account,number,amount,currency,status,reference";
constexpr std::size_t kColumns = 7;
constexpr std::size_t kKeyDigits = 32;

tl::unexpected<Error> bad(std::size_t line, const std::string& what) {
  return fail(ErrorCode::kInvalidArgument, "line " + std::to_string(line) + ": " + what);
}

/// The last column takes the rest of the line, so that a reference may hold commas.
std::array<std::string, kColumns> split(std::string_view line) {
  std::array<std::string, kColumns> out;
  for (std::size_t i = 0; i + 1 < kColumns; ++i) {
    const std::size_t comma = line.find(',');
    out[i] = std::string(line.substr(0, comma));
    line = comma == std::string_view::npos ? std::string_view() : line.substr(comma + 1);
  }
  out.back() = std::string(line);
  return out;
}

Result<PayoutRow> make_row(std::size_t line, const std::array<std::string, kColumns>& columns,
                           const NetworkId& network) {
  PayoutRow row;
  const auto account = to_array<32>(from_hex(columns[1]).value_or(Bytes{}));
  if (!account) return bad(line, "account: expected 64 hexadecimal digits, found " + columns[1]);
  row.account = AccountId{*account};
  const char* end = columns[2].data() + columns[2].size();
  const auto [at, error] = std::from_chars(columns[2].data(), end, row.number);
  if (error != std::errc() || at != end || row.number == 0)
    return bad(line, "number: expected a number from 1 on, found " + columns[2]);
  const auto amount = node::parse_amount(columns[3]);
  if (!amount) return bad(line, "amount: " + amount.error().message);
  row.amount = *amount;
  row.status = columns[5];
  row.reference = columns[6];
  if (row.status != "in_flight" && row.status != "paid" && row.status != "failed")
    return bad(line, "status: expected paid or failed, found " + row.status);
  if (columns[0] != payout_key(network, row))
    return bad(line,
               "the key is not that of this payout in this ledger: was the file changed, or "
               "is it another model's?");
  return row;
}

Result<std::vector<PayoutRow>> parse_csv(std::string_view text, const NetworkId& network) {
  std::vector<PayoutRow> out;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (number == 1 && line != kHeader)
      return bad(1, "expected \"" + std::string(kHeader) + "\" or a JSON object");
    if (number == 1 || line.empty()) continue;
    COSHARD_ASSIGN(PayoutRow row, make_row(number, split(line), network));
    out.push_back(std::move(row));
  }
  return out;
}

Result<std::vector<PayoutRow>> parse_json(std::string_view text, const NetworkId& network) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("payouts") || !json["payouts"].is_array())
    return bad(1, "expected a JSON object with a list \"payouts\"");
  std::vector<PayoutRow> out;
  for (const auto& item : json["payouts"]) {
    std::array<std::string, kColumns> columns;
    std::size_t at = 0;
    for (const char* key :
         {"key", "account", "number", "amount", "currency", "status", "reference"}) {
      if (item.is_object() && item.contains(key)) {
        const auto& value = item[key];
        columns[at] = value.is_string() ? value.get<std::string>() : value.dump();
      }
      ++at;
    }
    COSHARD_ASSIGN(PayoutRow row, make_row(out.size() + 1, columns, network));
    out.push_back(std::move(row));
  }
  return out;
}

}  // namespace

std::string payout_key(const NetworkId& network, const PayoutRow& row) {
  Bytes number;
  put_be<std::uint64_t>(number, row.number);
  put_be<std::uint64_t>(number, row.amount);
  return to_hex(
             crypto::domain_hash("coshard/payout/v1", {network.view(), row.account.view(), number}))
      .substr(0, kKeyDigits);
}

std::string to_csv(const PayoutFile& file) {
  std::string out(kHeader);
  out += "\n";
  for (const PayoutRow& row : file.rows)
    out += payout_key(file.network, row) + "," + row.account.hex() + "," +
           std::to_string(row.number) + "," + format_amount(row.amount) + "," + file.currency +
           "," + row.status + "," + row.reference + "\n";
  return out;
}

std::string to_json(const PayoutFile& file) {
  nlohmann::ordered_json json{{"model", file.model},
                              {"network", file.network.hex()},
                              {"currency", file.currency},
                              {"payouts", nlohmann::ordered_json::array()}};
  for (const PayoutRow& row : file.rows)
    json["payouts"].push_back({{"key", payout_key(file.network, row)},
                               {"account", row.account.hex()},
                               {"number", row.number},
                               {"amount", format_amount(row.amount)},
                               {"currency", file.currency},
                               {"status", row.status},
                               {"reference", row.reference}});
  return json.dump(2) + "\n";
}

Result<std::vector<PayoutRow>> parse_payouts(std::string_view text, const NetworkId& network) {
  COSHARD_ASSIGN(std::vector<PayoutRow> rows,
                 text.starts_with('{') ? parse_json(text, network) : parse_csv(text, network));
  std::set<std::pair<AccountId, std::uint64_t>> seen;
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (!seen.insert({rows[i].account, rows[i].number}).second)
      return bad(i + 1, "payout " + std::to_string(rows[i].number) + " of account " +
                            rows[i].account.short_hex() + " comes twice");
  return rows;
}

}  // namespace coshard::cli
