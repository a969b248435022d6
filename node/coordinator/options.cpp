// The one file of coshard-coordinator that sees CLI11.
// SPDX-License-Identifier: Apache-2.0
#include "node/coordinator/options.h"

#include <CLI/CLI.hpp>
#include <iostream>

#include "node/logging.h"
#include "node/startup.h"

namespace coshard::node {

Result<std::optional<CoordinatorOptions>> parse_coordinator_options(int argc, char** argv) {
  CoordinatorOptions options;
  std::string level = "info";
  CLI::App app(
      "coshard-coordinator: admits nodes, assigns stages, opens and commits steps, keeps the "
      "ledger. Never sees a weight.");
  app.set_version_flag("--version", std::string(kSoftwareVersion));
  app.add_option("--round", options.round, "round file (TOML)")->required();
  app.add_option("--dir", options.directory, "folder for journal, ledger, metrics")->required();
  app.add_option("--key", options.key, "key file (default: DIR/coordinator.key, made if missing)");
  app.add_option("--listen", options.listen, "where nodes connect, for example tcp://0.0.0.0:4600")
      ->capture_default_str();
  app.add_option("--advertise", options.advertise, "HOST:PORT that nodes are to dial");
  app.add_option("--http", options.http, "HOST:PORT of status, metrics and ledger files")
      ->capture_default_str();
  app.add_option("--ledger-store", options.ledger_store,
                 "where a new ledger is kept: sqlite (the default, in DIR) or "
                 "postgresql://USER@HOST/DATABASE; remembered in DIR");
  app.add_option("--move-ledger-to", options.move_ledger_to,
                 "move the ledger to another store, as above, and end; no coordinator may run");
  app.add_option("--witnesses", options.witnesses,
                 "policy file (c2sp.org/tlog-policy) of witnesses with URLs: their quorum cosigns "
                 "every checkpoint before it is published");
  app.add_flag("--former-is-dead", options.former_is_dead,
               "DIR was copied from elsewhere, and the coordinator there will never run again");
  app.add_flag("--roll-back", options.roll_back,
               "go on after the last complete checkpoint; nodes that live on have to join again");
  app.add_flag("--rotate-log-key", options.rotate_log_key,
               "sign the ledger with a new key from now on (DIR/log.<n>.key)");
  app.add_option("--log-key-overlap", options.log_key_overlap,
                 "entries for which the old log key signs too, so that readers can change over")
      ->capture_default_str();
  app.add_option("--stage-patience", options.stage_patience,
                 "seconds to wait for a stage whose nodes are all lost; 0: end the round at once")
      ->capture_default_str();
  app.add_option(
         "--move-patience", options.move_patience,
         "seconds that a replica's move to a weaker stage has to have been worth a quarter; "
         "where weights are protected nobody moves")
      ->capture_default_str();
  app.add_option("--admission-patience", options.admission_patience,
                 "seconds after the last admission that a resumed round waits for absent nodes")
      ->capture_default_str();
  app.add_option("--passphrase-fd", options.passphrase_fd, "file descriptor with the passphrase");
  app.add_option("--log-level", level, "debug, info, warning or error")->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& request) {
    app.exit(request, std::cout, std::cerr);
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    return fail(ErrorCode::kInvalidArgument, std::string(error.what()) + "; see --help");
  }
  COSHARD_ASSIGN(options.log_level, parse_log_level(level));
  if (options.key.empty()) options.key = options.directory / "coordinator.key";
  return options;
}

}  // namespace coshard::node
