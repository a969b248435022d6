// Flags of the commands that ask a ledger's coordinator for an entry: money, units, keys. Value
// types, filled in by command_line_money.cpp. Amounts are micro-units.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace coshard::cli {

/// Which ledger, and with which key its coordinator is asked.
struct DeskFlags {
  std::string id;  ///< a round: name, folder or URL
  /// Of the coordinator: for what the operator says, and for a round that has ended. Empty:
  /// DIR/coordinator.key.
  std::filesystem::path coordinator_key;
  std::optional<int> coordinator_passphrase_fd;
  /// tlog-policy: whom to believe; in a round that has ended, also whom to ask for cosignatures.
  std::filesystem::path policy;
  bool json = false;
};

/// A key file and where its passphrase comes from; nothing: asked on the terminal.
struct KeyFlags {
  std::filesystem::path file;
  std::optional<int> passphrase_fd;
};

struct RevenueRecordCommand {
  DeskFlags desk;
  std::uint64_t amount = 0;
  std::string reference;
  std::optional<std::filesystem::path> statement;
};

struct RevenueCorrectCommand {
  DeskFlags desk;
  std::uint64_t entry = 0;
  std::uint64_t amount = 0;
  std::string reason;
};

struct PayoutExportCommand {
  DeskFlags desk;
  std::string format = "csv";
  std::optional<std::filesystem::path> out;
  bool again = false;  ///< only what is on its way already
};

struct PayoutConfirmCommand {
  DeskFlags desk;
  std::optional<std::filesystem::path> file;
  std::string account;
  std::uint64_t number = 0;
  std::string reference;
  bool failed = false;
};

struct TransferOfferCommand {
  DeskFlags desk;
  KeyFlags key;
  std::string to;
  std::uint64_t units = 0;
  std::uint64_t price = 0;
  std::uint64_t expires = 0;  ///< entries from now; 0: never
  std::string reference;
  std::filesystem::path out;
  bool give = false;  ///< no price, and submitted at once
};

struct TransferAcceptCommand {
  DeskFlags desk;
  KeyFlags key;
  std::filesystem::path file;
  std::filesystem::path out;
  bool yes = false;
};

struct TransferSubmitCommand {
  DeskFlags desk;
  std::filesystem::path file;
};

struct BondCommand {
  DeskFlags desk;
  KeyFlags key;
  std::uint64_t units = 0;
  bool release = false;
};

struct KeyRotateCommand {
  DeskFlags desk;
  KeyFlags key;
  std::string node;                      ///< hexadecimal; empty: the node of the key file itself
  std::filesystem::path out;             ///< the new key file
  std::optional<int> out_passphrase_fd;  ///< nothing: the passphrase of `key`
  bool box = false;                      ///< the new file lacks the root
};

struct KeyRevokeCommand {
  DeskFlags desk;
  KeyFlags key;      ///< the owner's: its root signs
  std::string node;  ///< hexadecimal; empty: the node of the key file itself
};

/// name: the owner says which key may claim his account. claim: that key claims it for a new root.
/// finish: the new root takes over.
struct KeyRecoveryCommand {
  enum class Step { kName, kClaim, kFinish };
  DeskFlags desk;
  Step step = Step::kName;
  KeyFlags key;              ///< name: the owner's; finish: the new one
  KeyFlags recovery;         ///< claim: the recovery key's file
  std::string recovery_key;  ///< name: its public key in hexadecimal, or "none"
  KeyFlags next;             ///< claim: the new key file, whose root takes over
  std::string account;
};

/// The owner vouches for a witness: whose it is.
struct KeyWitnessCommand {
  DeskFlags desk;
  KeyFlags key;
  KeyFlags witness;
};

struct SettleCommand {
  DeskFlags desk;
  std::vector<std::string> accounts;  ///< empty: all
};

struct CreditVoidCommand {
  DeskFlags desk;
  std::uint64_t epoch = 0;
  std::string account;
  std::string reason;
  std::optional<std::filesystem::path> evidence;
};

struct PenaltyCommand {
  DeskFlags desk;
  std::string account;
  std::uint64_t units = 0;
  std::string reason;
  std::optional<std::filesystem::path> evidence;
};

/// What is not given stays as it is.
struct GovernParamsCommand {
  DeskFlags desk;
  std::optional<std::uint64_t> minimum_payout;
  std::optional<std::uint64_t> challenge_epochs;
  std::optional<std::uint64_t> bond_epochs;
  std::optional<std::uint64_t> epoch;  ///< nothing: the first that is not announced
  std::filesystem::path out;
};

struct GovernGrantsCommand {
  DeskFlags desk;
  std::string role;
  std::vector<std::string> grants;  ///< ACCOUNT=BASIS_POINTS
  std::optional<std::uint64_t> epoch;
  std::filesystem::path out;
};

struct GovernSignCommand {
  DeskFlags desk;
  KeyFlags key;
  std::filesystem::path file;
  std::filesystem::path out;  ///< empty: the same file
  bool yes = false;
};

struct GovernSubmitCommand {
  DeskFlags desk;
  std::filesystem::path file;
};

}  // namespace coshard::cli
