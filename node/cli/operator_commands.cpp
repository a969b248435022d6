// coshard ledger settle | void | penalty: what the operator says beside money.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "crypto/hash.h"
#include "ledger/requests.h"
#include "node/cli/commands.h"
#include "node/cli/exit_code.h"
#include "node/cli/ledger_desk.h"
#include "node/progress.h"
#include "shard/data/file.h"

namespace coshard::cli {
namespace {

constexpr std::size_t kEvidenceBytesMax = std::size_t{64} << 20;
/// Accounts in one entry, which has 16 KiB.
constexpr std::size_t kSettleGroup = 256;

/// Zeros where there is no file.
Result<Hash> evidence_hash(const std::optional<std::filesystem::path>& file) {
  if (!file) return Hash{};
  COSHARD_ASSIGN(const Bytes bytes,
                 shard::read_whole(*file, kEvidenceBytesMax, shard::Symlinks::kFollow));
  return crypto::sha256(bytes);
}

Result<LogIndex> settle(const SettleCommand& command) {
  COSHARD_ASSIGN(LedgerDesk desk, LedgerDesk::open(command.desk));
  std::vector<ledger::AccountRef> accounts;
  for (const std::string& text : command.accounts) {
    COSHARD_ASSIGN(const AccountId account, desk.find_account(text));
    accounts.push_back({account});
  }
  if (accounts.empty())
    for (const auto& [account, balance] : desk.accounts().balances()) accounts.push_back({account});
  std::sort(accounts.begin(), accounts.end(),
            [](const auto& a, const auto& b) { return a.account < b.account; });
  accounts.erase(std::unique(accounts.begin(), accounts.end()), accounts.end());
  std::vector<ledger::Leaf> leaves;
  for (std::size_t at = 0; at < accounts.size(); at += kSettleGroup) {
    const std::size_t count = std::min(kSettleGroup, accounts.size() - at);
    const auto begin = accounts.begin() + static_cast<std::ptrdiff_t>(at);
    leaves.emplace_back(ledger::Settle{{begin, begin + static_cast<std::ptrdiff_t>(count)}});
  }
  if (leaves.empty())
    return fail(ErrorCode::kFailedPrecondition, "nobody has a part in this ledger yet");
  std::optional<LogIndex> last;
  // Less than a request may hold at once: each of these entries is as large as entries get.
  for (const ledger::Leaf& leaf : leaves) {
    COSHARD_ASSIGN(const auto indices, desk.say({leaf}));
    last = indices.front();
  }
  return *last;
}

Result<LogIndex> take_credit(const CreditVoidCommand& command) {
  COSHARD_ASSIGN(const Hash evidence, evidence_hash(command.evidence));
  COSHARD_ASSIGN(LedgerDesk desk, LedgerDesk::open(command.desk));
  COSHARD_ASSIGN(const AccountId account, desk.find_account(command.account));
  const ledger::CreditVoid leaf{LedgerEpoch(command.epoch), account, command.reason, evidence};
  COSHARD_ASSIGN(const auto indices,
                 desk.say({leaf, ledger::StateSnapshot{}}, LedgerDesk::Memory::kLong));
  return indices.front();
}

Result<LogIndex> penalty(const PenaltyCommand& command) {
  COSHARD_ASSIGN(const Hash evidence, evidence_hash(command.evidence));
  COSHARD_ASSIGN(LedgerDesk desk, LedgerDesk::open(command.desk));
  COSHARD_ASSIGN(const AccountId account, desk.find_account(command.account));
  const ledger::Penalty leaf{account, command.units, command.reason, evidence};
  COSHARD_ASSIGN(const auto indices,
                 desk.say({leaf, ledger::StateSnapshot{}}, LedgerDesk::Memory::kLong));
  return indices.front();
}

}  // namespace

int run(const SettleCommand& command) {
  return report_entry(settle(command), "what is owed is brought up to date", command.desk.json);
}

int run(const CreditVoidCommand& command) {
  return report_entry(
      take_credit(command),
      "the account's pending units of epoch " + std::to_string(command.epoch) + " are burnt",
      command.desk.json);
}

int run(const PenaltyCommand& command) {
  return report_entry(penalty(command),
                      node::render_count(command.units) + " bonded units of the account are burnt",
                      command.desk.json);
}

}  // namespace coshard::cli
