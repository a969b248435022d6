// Everything coshard-coordinator owns, in the order in which it is opened; closed in reverse. No
// behaviour here but opening.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "node/coordinator/http.h"
#include "node/coordinator/journal.h"
#include "node/coordinator/ledger_home.h"
#include "node/coordinator/ledger_thread.h"
#include "node/coordinator/net_thread.h"
#include "node/coordinator/options.h"
#include "node/coordinator/progress_log.h"
#include "node/startup.h"
#include "node/world.h"
#include "protocol/transport/reactor.h"

namespace coshard::node {

struct CoordinatorContext {
  CoordinatorContext(const CoordinatorOptions& asked, World around)
      : options(asked), world(std::move(around)) {}

  const CoordinatorOptions options;
  const World world;
  LoadedRound round;
  std::string manifest_text;
  std::unique_ptr<crypto::Identity> identity;
  std::unique_ptr<Journal> journal;
  std::vector<round::JournalRecord> history;  ///< what the journal held
  std::unique_ptr<LedgerHome> ledger_home;
  std::unique_ptr<LedgerThread> ledger_thread;
  std::unique_ptr<ProgressLog> progress;
  std::unique_ptr<transport::Reactor> reactor;
  std::unique_ptr<transport::Transport> transport;
  std::unique_ptr<HttpServer> http;
  std::unique_ptr<CoordinatorNet> net;
  std::string resume_command;
};

/// Checks the round and opens what is on disk; starts no thread of ours. The first thing that is
/// wrong is the error, in one line; what was opened is closed again. Main.
Result<std::unique_ptr<CoordinatorContext>> open_coordinator(const CoordinatorOptions& options,
                                                             World world);

/// Opens sockets and HTTP, says where it listens, starts the machine. cs-net.
Result<void> open_network(CoordinatorContext& context);

}  // namespace coshard::node
