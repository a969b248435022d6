// The [ownership] section of a round file: who gets what, and by which rules. See round_file.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/round_file_ownership.h"

#include <algorithm>
#include <set>

#include "node/amount.h"

namespace coshard::node {
namespace {

constexpr std::int64_t kInt64Max = INT64_MAX;
constexpr std::size_t kRecipientsMax = 64;  // all three lists fit into one ledger entry
constexpr std::size_t kGovernorsMax = 16;
constexpr std::int64_t kBasisPoints = 10'000;
constexpr std::int64_t kEpochsMax = 1'000'000;
constexpr std::int64_t kRecoveryDaysMax = 3650;

/// The list under `key` of a role that gets `share` basis points of the emission.
void read_recipients(const TomlReader& ownership, std::string_view key, std::uint32_t share,
                     std::vector<Recipient>& out) {
  const std::string what = "a list of { account, basis_points } that sums to 10000, as split." +
                           std::string(key) + " is " + std::to_string(share);
  const TomlArray* list = ownership.get<TomlArray>(key, Presence::kOptional, what);
  if (ownership.problems().any()) return;
  const std::size_t size = list != nullptr ? list->size() : 0;
  if (share == 0 && size > 0)
    return ownership.expected(key, "nothing, as split." + std::string(key) + " is 0");
  if (share > 0 && size == 0) return ownership.expected(key, what, "nothing");
  if (size > kRecipientsMax)
    return ownership.expected(key, "at most " + std::to_string(kRecipientsMax) + " accounts",
                              std::to_string(size));
  std::uint32_t sum = 0;
  std::set<AccountId> seen;
  for (std::size_t i = 0; i < size; ++i) {
    const TomlValue& item = (*list)[i];
    const auto* table = std::get_if<TomlTable>(&item.value);
    if (table == nullptr) return ownership.expected(key, what, describe(item));
    const TomlReader reader(*table, ownership.full_key(key) + "[" + std::to_string(i) + "]",
                            item.line, {"account", "basis_points"}, ownership.problems());
    Recipient recipient;
    std::string hex;
    constexpr std::string_view kAccount = "an account id of 64 hexadecimal digits";
    reader.text("account", Presence::kRequired, kAccount, hex);
    const auto bytes = to_array<32>(from_hex(hex).value_or(Bytes{}));
    if (!bytes) return reader.expected("account", kAccount);
    recipient.account = AccountId{*bytes};
    if (!seen.insert(recipient.account).second)
      return reader.expected("account", "each account once");
    reader.integer("basis_points", Presence::kRequired, 1, kBasisPoints, recipient.basis_points);
    sum += recipient.basis_points;
    out.push_back(recipient);
  }
  if (size > 0 && sum != kBasisPoints)
    ownership.expected(key, "basis_points that sum to 10000", std::to_string(sum));
}

void read_emission(const TomlReader& reader, OwnershipSection& out) {
  constexpr std::string_view kEmission = "\"constant\" or { half_life = steps }";
  const TomlValue* emission = reader.find("emission");
  if (emission == nullptr) return;
  if (const auto* text = std::get_if<std::string>(&emission->value)) {
    if (*text != "constant") reader.expected("emission", kEmission);
    return;
  }
  const auto* table = std::get_if<TomlTable>(&emission->value);
  if (table == nullptr) return reader.expected("emission", kEmission);
  const TomlReader inner(*table, "ownership.emission", emission->line, {"half_life"},
                         reader.problems());
  std::uint64_t steps = 0;
  inner.integer("half_life", Presence::kRequired, 1, std::int64_t{limits::kStepsMax}, steps);
  out.half_life_steps = steps;
}

void read_split(const TomlReader& ownership, OwnershipSection& out) {
  const TomlValue* section = ownership.table("split", Presence::kOptional);
  if (section == nullptr) return;
  const TomlReader reader(std::get<TomlTable>(section->value), "ownership.split", section->line,
                          {"compute", "data", "design", "treasury"}, ownership.problems());
  out.compute = 0;
  reader.integer("compute", Presence::kOptional, 0, kBasisPoints, out.compute);
  reader.integer("data", Presence::kOptional, 0, kBasisPoints, out.data);
  reader.integer("design", Presence::kOptional, 0, kBasisPoints, out.design);
  reader.integer("treasury", Presence::kOptional, 0, kBasisPoints, out.treasury);
  const std::uint32_t sum = out.compute + out.data + out.design + out.treasury;
  if (sum != kBasisPoints)
    ownership.expected("split", "basis points that sum to 10000", std::to_string(sum));
}

/// "USD" or "EUR", for example: what one unit of money is called; "" books no revenue.
void read_money(const TomlReader& reader, OwnershipSection& out) {
  constexpr std::string_view kCurrency =
      "up to 8 letters A to Z, for example \"USD\", or \"\" for a ledger without money";
  reader.text("currency", Presence::kOptional, kCurrency, out.currency);
  const bool plain = std::all_of(out.currency.begin(), out.currency.end(),
                                 [](char c) { return c >= 'A' && c <= 'Z'; });
  if (!plain || out.currency.size() > 8) return reader.expected("currency", kCurrency);
  constexpr std::string_view kMinimum = "an amount in quotes, for example \"5.00\"";
  std::string minimum = "0";
  reader.text("minimum_payout", Presence::kOptional, kMinimum, minimum);
  const auto amount = parse_amount(minimum);
  if (!amount) return reader.expected("minimum_payout", kMinimum);
  out.minimum_payout = *amount;
}

void read_rules(const TomlReader& reader, OwnershipSection& out) {
  reader.integer("challenge_epochs", Presence::kOptional, 0, kEpochsMax, out.challenge_epochs);
  reader.integer("bond_epochs", Presence::kOptional, 0, kEpochsMax, out.bond_epochs);
  reader.integer("recovery_days", Presence::kOptional, 0, kRecoveryDaysMax, out.recovery_days);
  reader.flag("buyer_signs", out.buyer_signs);
  const TomlValue* vesting = reader.table("vesting_epochs", Presence::kOptional);
  if (vesting == nullptr) return;
  const TomlReader inner(std::get<TomlTable>(vesting->value), "ownership.vesting_epochs",
                         vesting->line, {"compute", "data", "design", "treasury"},
                         reader.problems());
  std::size_t role = 0;
  for (const char* key : {"compute", "data", "design", "treasury"})
    inner.integer(key, Presence::kOptional, 0, kEpochsMax, out.vesting_epochs[role++]);
}

void read_governors(const TomlReader& reader, OwnershipSection& out) {
  constexpr std::string_view kGovernors =
      "a list of up to 16 public keys of 64 hexadecimal digits (the node of coshard keygen)";
  const TomlArray* list = reader.get<TomlArray>("governors", Presence::kOptional, kGovernors);
  if (list != nullptr && list->size() > kGovernorsMax)
    return reader.expected("governors", kGovernors, std::to_string(list->size()));
  for (const TomlValue& item : list != nullptr ? *list : TomlArray{}) {
    const auto* hex = std::get_if<std::string>(&item.value);
    const auto key = to_array<32>(from_hex(hex != nullptr ? *hex : "").value_or(Bytes{}));
    if (!key) return reader.expected("governors", kGovernors, describe(item));
    out.governors.push_back(NodeId{*key});
  }
  std::sort(out.governors.begin(), out.governors.end());
  if (std::adjacent_find(out.governors.begin(), out.governors.end()) != out.governors.end())
    return reader.expected("governors", "each key once", "one twice");
  const auto count = static_cast<std::int64_t>(out.governors.size());
  out.governors_needed = out.governors.size();
  reader.integer("governors_needed", Presence::kOptional, count > 0 ? 1 : 0, count,
                 out.governors_needed);
}

}  // namespace

void read_ownership(const TomlReader& file, OwnershipSection& out) {
  const TomlValue* section = file.table("ownership", Presence::kOptional);
  if (section == nullptr) return;
  const TomlReader reader(std::get<TomlTable>(section->value), "ownership", section->line,
                          {"units", "emission", "split", "data", "design", "treasury", "currency",
                           "minimum_payout", "vesting_epochs", "challenge_epochs", "bond_epochs",
                           "recovery_days", "governors", "governors_needed", "buyer_signs"},
                          file.problems());
  reader.integer("units", Presence::kOptional, 1, kInt64Max, out.units);
  read_emission(reader, out);
  read_split(reader, out);
  if (file.problems().any()) return;
  read_recipients(reader, "data", out.data, out.data_recipients);
  read_recipients(reader, "design", out.design, out.design_recipients);
  read_recipients(reader, "treasury", out.treasury, out.treasury_recipients);
  read_money(reader, out);
  read_rules(reader, out);
  read_governors(reader, out);
}

}  // namespace coshard::node
