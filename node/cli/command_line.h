// The command line of coshard: a struct per command is its flags, parsed and checked before any
// file is opened. The files that see CLI11 are command_line*.cpp and grammar.h. Home thread: main.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "node/cli/demo_disturbance.h"
#include "node/cli/money_flags.h"
#include "protocol/base/error.h"

namespace coshard::cli {

using Path = std::filesystem::path;

struct DemoCommand {
  std::uint32_t stages = 2;
  std::uint32_t replicas = 2;
  std::optional<std::uint64_t> steps;
  std::vector<Path> data;  ///< text files; empty: the dictionary that deploy/setup installs
  std::string preset = "tiny";
  std::string device = "auto";
  std::optional<Path> round;  ///< instead of stages, replicas, steps, data and preset
  Path dir = "coshard-demo";
  std::vector<Disturbance> disturbances;  ///< --kill, --freeze, --join
  bool json = false;
};

struct KeygenCommand {
  Path out = "coshard.key";
  bool no_passphrase = false;
  std::optional<int> passphrase_fd;  ///< read one line there instead of asking
  std::string witness;               ///< name: a witness's key instead of a participant's
  Path root;                         ///< of an owner: a box's keys under his root, without it
  std::optional<int> root_passphrase_fd;
  bool json = false;
};

struct PrepareCommand {
  std::string tokenizer;  ///< "bytes" or a SentencePiece model
  Path out;
  std::vector<Path> inputs;
  bool json = false;
};

struct LaunchCommand {
  Path file;
  std::optional<Path> dir;
  std::string listen = "tcp://127.0.0.1:0";
  std::string advertise;
  std::string http = "127.0.0.1:0";
  std::string ledger_store;       ///< as coshard-coordinator takes it; empty: its own default
  std::optional<Path> witnesses;  ///< policy file with their URLs
  bool json = false;
};

struct RoundListCommand {
  bool json = false;
};

struct RoundStatusCommand {
  std::string id;
  bool json = false;
};

struct RoundWatchCommand {
  std::string id;
  bool json = false;
};

struct RoundControlCommand {
  std::string verb;  ///< pause, resume or finish
  std::string id;
  std::optional<Path> token;  ///< file; needed when `id` is an URL
};

struct RoundExportCommand {
  std::string id;
  std::string format = "hf";
  Path out;
  std::vector<Path> checkpoints;      ///< folders to look in; empty: the round's own
  std::optional<Path> next;           ///< format shards: the round file of the round that goes on
  std::optional<std::uint64_t> step;  ///< of the checkpoint; nothing: the last
  std::optional<Path> round;          ///< the round file, where the round's folder has no copy
  std::optional<Path> token;          ///< file of the control token; needed when `id` is an URL
  bool bf16 = false;
  bool json = false;
};

struct SimulateCommand {
  Path file;
  std::optional<std::uint32_t> peers;  ///< nothing: stages x replicas of the round file
  double losses_per_hour = 0;          ///< share of the boxes
  double uplink = 0, downlink = 0;     ///< bytes per second; 0: never the limit
  double latency_seconds = 0.03;
  double tflops = 10;  ///< sustained, of the median box
  double spread = 0;   ///< of the boxes' speeds
  std::uint64_t seed = 1;
  double hours = 1;
  bool json = false;
};

struct NodeStatusCommand {
  std::optional<Path> dir;
  bool offline = false;  ///< do not ask the ledger for credits
  bool json = false;
};

/// What all questions to a ledger share.
struct LedgerFlags {
  std::string ledger;  ///< folder or URL; empty: from the configuration
  std::string vkey;    ///< the log key to trust; empty: the one that the ledger names
  std::string policy;  ///< file: whose cosignatures a checkpoint needs; empty: nobody's
  bool json = false;
};

/// What the questions that a verified index answers share.
struct IndexFlags {
  std::optional<Path> folder;  ///< nothing: below $XDG_CACHE_HOME
  bool none = false;
  std::optional<std::uint64_t> at;  ///< entries of the log that count; nothing: all
};

struct OwnershipCommand {
  std::string model;
  std::optional<Path> distributor;  ///< file to write the Merkle tree of owners to
  LedgerFlags flags;
  IndexFlags index;
};

struct BalanceCommand {
  std::string account;
  std::optional<Path> proof;  ///< file to write the two inclusion proofs to
  LedgerFlags flags;
  IndexFlags index;
};

struct MonitorCommand {
  LedgerFlags flags;
  IndexFlags index;
  std::uint32_t seconds = 10;  ///< between two looks
  bool once = false;
};

struct StatementCommand {
  std::string account;
  LedgerFlags flags;
  IndexFlags index;
  std::uint64_t from = 0;             ///< the first log index
  std::optional<std::uint64_t> last;  ///< so many entries, the last ones
};

struct VerifyCommand {
  std::optional<std::string> account;
  std::optional<Path> evidence;  ///< of a fork: examined instead of a ledger
  std::optional<Path> proof;     ///< .tlog-proof: checked instead of a ledger
  std::optional<Path> entry;     ///< what the proof is about; nothing: the proof's own copy
  std::optional<Path> seen;      ///< remembers the checkpoint, and holds the next one against it
  LedgerFlags flags;
};

struct ProofCommand {
  std::uint64_t index = 0;
  Path out = "entry.tlog-proof";
  LedgerFlags flags;
};

using Command = std::variant<
    DemoCommand, KeygenCommand, PrepareCommand, LaunchCommand, RoundListCommand, RoundStatusCommand,
    RoundWatchCommand, RoundControlCommand, RoundExportCommand, SimulateCommand, NodeStatusCommand,
    OwnershipCommand, BalanceCommand, StatementCommand, MonitorCommand, ProofCommand, VerifyCommand,
    RevenueRecordCommand, RevenueCorrectCommand, PayoutExportCommand, PayoutConfirmCommand,
    TransferOfferCommand, TransferAcceptCommand, TransferSubmitCommand, BondCommand,
    KeyRotateCommand, KeyRevokeCommand, KeyRecoveryCommand, KeyWitnessCommand, SettleCommand,
    CreditVoidCommand, PenaltyCommand, GovernParamsCommand, GovernGrantsCommand, GovernSignCommand,
    GovernSubmitCommand>;

/// Nothing when help or the version was asked for (and printed). kInvalidArgument in one line that
/// ends with the help to read.
Result<std::optional<Command>> parse_command_line(int argc, const char* const* argv);

}  // namespace coshard::cli
