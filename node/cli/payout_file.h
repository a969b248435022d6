// The list of payouts that goes to whoever pays, and comes back with what became of them. Pure;
// any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "protocol/base/error.h"
#include "protocol/base/ids.h"

namespace coshard::cli {

struct PayoutRow {
  AccountId account;
  std::uint64_t number = 0;
  std::uint64_t amount = 0;          ///< micro-units
  std::string status = "in_flight";  ///< "failed" when it came back
  std::string reference;             ///< of whoever paid
  bool operator==(const PayoutRow&) const = default;
};

struct PayoutFile {
  std::string model;
  NetworkId network;
  std::string currency;
  std::vector<PayoutRow> rows;
  bool operator==(const PayoutFile&) const = default;
};

/// The same for the same payout, whoever asks and however often: for a payment provider that
/// refuses to pay one key twice.
std::string payout_key(const NetworkId& network, const PayoutRow& row);

/// "key,account,number,amount,currency,status,reference" and a line per payout.
std::string to_csv(const PayoutFile& file);
std::string to_json(const PayoutFile& file);

/// Reads either form. kInvalidArgument "line N: …" for anything else, for a key that does not
/// belong to its row or to ledger `network`, and for a payout that comes twice.
Result<std::vector<PayoutRow>> parse_payouts(std::string_view text, const NetworkId& network);

}  // namespace coshard::cli
