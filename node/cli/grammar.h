// The grammar of the command line, for the files that add commands to it: command_line*.cpp, the
// ones that see CLI11. Home thread: main.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/App.hpp>
#include <deque>
#include <string>
#include <vector>

#include "node/cli/command_line.h"

namespace coshard::cli {

/// The tree of commands, and a place for the flags of each.
class Grammar {
 public:
  Grammar();
  Result<std::optional<Command>> parse(int argc, const char* const* argv);

 private:
  CLI::App* add(CLI::App& parent, const std::string& name, const std::string& description,
                const std::string& example);
  /// Flags of a new command of type T, which `app` selects when it is on the command line.
  template <class T>
  T& selects(CLI::App* app) {
    Entry& entry = entries_.emplace_back(Entry{app, T{}});
    return std::get<T>(entry.command);
  }
  void add_demo();
  void add_keygen();
  void add_data();
  void add_round();
  void add_round_control();
  void add_round_export();
  void add_simulate();
  void add_status();
  void add_ledger_queries();
  void add_proofs();
  void add_revenue();
  void add_payout();
  void add_transfer();
  void add_bond();
  void add_key();
  void add_recovery(CLI::App& key);
  void add_ledger();
  void add_govern();
  const CLI::App* innermost() const;

  struct Entry {
    CLI::App* app;
    Command command;
  };
  CLI::App root_{"coshard: train one model together, and own it together", "coshard"};
  std::deque<Entry> entries_;  // flags are bound by address
};

inline constexpr const char* kId =
    "a round: its model's name, its folder, or the URL of its coordinator";

CLI::Validator whole_number(std::uint64_t min, std::uint64_t max);
CLI::Validator one_of(std::vector<std::string> choices);
void json_flag(CLI::App* app, bool& out);
/// Of every command that asks a ledger for an entry.
void desk_flags(CLI::App* app, DeskFlags& flags);
/// --key and --passphrase-fd; with a prefix --PREFIX and --PREFIX-passphrase-fd.
void key_flags(CLI::App* app, KeyFlags& flags, const char* whose, const std::string& prefix = "");
/// A decimal amount, up to six decimals.
CLI::Validator amount_check();

}  // namespace coshard::cli
