// The one file of coshard-witness that sees CLI11.
// SPDX-License-Identifier: Apache-2.0
#include "node/witness/options.h"

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>

#include "node/logging.h"
#include "node/startup.h"

namespace coshard::node {
namespace {

Result<void> add_log(WitnessOptions& options, const std::string& vkey) {
  COSHARD_ASSIGN(ledger::NoteKey key, ledger::NoteKey::parse_vkey(vkey));
  options.logs[key.name].push_back(std::move(key));
  return {};
}

/// One key per line; empty lines and those that begin with # say nothing.
Result<void> add_logs(WitnessOptions& options, const std::string& file) {
  std::ifstream in(file);
  if (!in) {
    return fail(ErrorCode::kInvalidArgument,
                "--logs: expected a file with one log key per line at " + file + ", found none");
  }
  std::size_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (line.empty() || line.front() == '#') continue;
    if (auto added = add_log(options, line); !added)
      return tl::unexpected(added.error().within(file + ": line " + std::to_string(number)));
  }
  return {};
}

}  // namespace

Result<std::optional<WitnessOptions>> parse_witness_options(int argc, char** argv) {
  WitnessOptions options;
  std::string level = "info", file;
  std::vector<std::string> logs;
  CLI::App app(
      "coshard-witness: cosigns the checkpoints of logs (c2sp.org/tlog-witness), each only if it "
      "continues the last one, so that a log cannot show two histories.");
  app.set_version_flag("--version", std::string(kSoftwareVersion));
  app.add_option("--key", options.key, "key file, made by coshard keygen --witness NAME")
      ->required();
  app.add_option("--dir", options.directory, "folder of its memory: never to be lost or set back")
      ->required();
  app.add_option("--listen", options.listen, "HOST:PORT of POST /add-checkpoint")
      ->capture_default_str();
  app.add_option("--log", logs, "a log's public key (its log.vkey); may be repeated");
  app.add_option("--logs", file, "file with one log key per line");
  app.add_option("--passphrase-fd", options.passphrase_fd, "file descriptor with the passphrase");
  app.add_option("--log-level", level, "debug, info, warning or error")->capture_default_str();
  app.footer(
      "Example:\n  coshard keygen --witness witness.example.org --out witness.key\n"
      "  coshard-witness --key witness.key --dir memory --listen 0.0.0.0:4700 --log \"$(cat "
      "log.vkey)\"\n"
      "It speaks HTTP; in front of the world a web server adds TLS.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& request) {
    app.exit(request, std::cout, std::cerr);
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    return fail(ErrorCode::kInvalidArgument, std::string(error.what()) + "; see --help");
  }
  COSHARD_ASSIGN(options.log_level, parse_log_level(level));
  for (const std::string& vkey : logs) COSHARD_TRY(add_log(options, vkey));
  if (!file.empty()) COSHARD_TRY(add_logs(options, file));
  if (options.logs.empty())
    return fail(ErrorCode::kInvalidArgument,
                "expected at least one log, --log VKEY or --logs FILE; see --help");
  return options;
}

}  // namespace coshard::node
