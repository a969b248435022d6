// coshard round launch: a round file is checked whole, then its coordinator starts.
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <nlohmann/json.hpp>

#include "node/checkpoint_path.h"
#include "node/cli/commands.h"
#include "node/cli/coordinator_process.h"
#include "node/cli/exit_code.h"
#include "node/cli/ledger_trust.h"
#include "node/round_file.h"
#include "shard/data/file.h"

namespace coshard::cli {
namespace {

struct Launch {
  node::LoadedRound loaded;
  CoordinatorLaunch coordinator;
};

/// Everything that can be wrong before anything starts.
Result<Launch> check(const LaunchCommand& command) {
  COSHARD_ASSIGN(const node::Config config, node::load_config(node::process_environment()));
  Launch launch;
  COSHARD_ASSIGN(launch.loaded, node::load_round(command.file));
  const auto data = node::validate_against_disk(launch.loaded.round, launch.loaded.folder);
  if (!data) return tl::unexpected<Error>(data.error().within(command.file.string()));
  COSHARD_TRY(sibling_program("coshard-coordinator"));
  std::error_code ec;
  const auto dir = command.dir.value_or(config.rounds / launch.loaded.round.model.name);
  launch.coordinator = {std::filesystem::absolute(command.file, ec),
                        std::filesystem::absolute(dir, ec).lexically_normal(), command.listen,
                        command.advertise, command.http};
  launch.coordinator.ledger_store = command.ledger_store;
  if (command.witnesses) {
    launch.coordinator.witnesses = std::filesystem::absolute(*command.witnesses, ec).string();
    COSHARD_TRY(read_policy(*command.witnesses));
  }
  const auto earlier = find_round(launch.coordinator.dir.string(), config);
  if (earlier && is_running(*earlier) && ask_status(earlier->url))
    return fail(ErrorCode::kFailedPrecondition,
                launch.coordinator.dir.string() +
                    ": expected no running coordinator, found process " +
                    std::to_string(earlier->pid) + "; see coshard round status " +
                    launch.coordinator.dir.string());
  return launch;
}

/// DIR/round.toml, as it was launched: `round export` reads it.
Result<void> keep_copy(const Launch& launch) {
  std::error_code ec;
  const auto copy = launch.coordinator.dir / "round.toml";
  std::filesystem::create_directories(launch.coordinator.dir, ec);
  if (std::filesystem::equivalent(copy, launch.coordinator.round, ec)) return {};
  const auto written = shard::write_atomically(copy, as_bytes(launch.loaded.text));
  if (!written) return tl::unexpected<Error>(written.error());
  return {};
}

void print_text(const Launch& launch, const RunningCoordinator& running) {
  const node::RoundFile& round = launch.loaded.round;
  const std::string data = node::manifest_path(round, launch.loaded.folder).parent_path().string();
  std::printf("%s: the coordinator runs (process %d)\n", round.model.name.c_str(),
              running.file.pid);
  std::printf("  folder      %s\n  log         %s\n  status      %s/status\n",
              launch.coordinator.dir.c_str(), running.process.log().c_str(),
              running.file.url.c_str());
  std::printf("  invitation  %s\n", running.invitation.c_str());
  std::printf(
      "It waits for %u node%s for each of %u stages. On each box, with the token shards at hand:\n",
      round.admission.replicas, round.admission.replicas == 1 ? "" : "s", round.model.stages());
  std::printf("  coshard-node --join '%s' --dir node-1 --data %s\n", running.invitation.c_str(),
              data.c_str());
  if (round.beginning)
    std::printf(
        "It goes on from step %llu: one node of each stage needs %s\nof the beginning's "
        "checkpoints below its own folder (node-1/checkpoints); others copy it from there.\n",
        static_cast<unsigned long long>(round.beginning->step.value),
        node::checkpoint_path("", round.beginning->step, StageIndex(0)).c_str());
  const std::string id = launch.coordinator.dir.string();
  std::printf("Then:\n  coshard round watch %s\n  coshard ownership %s --ledger %s/ledger\n",
              id.c_str(), round.model.name.c_str(), id.c_str());
}

void print_json(const Launch& launch, const RunningCoordinator& running) {
  const nlohmann::ordered_json json{{"model", launch.loaded.round.model.name},
                                    {"dir", launch.coordinator.dir.string()},
                                    {"pid", running.file.pid},
                                    {"endpoint", running.file.endpoint},
                                    {"url", running.file.url},
                                    {"invitation", running.invitation}};
  std::printf("%s\n", json.dump().c_str());
}

}  // namespace

int run(const LaunchCommand& command) {
  const auto launch = check(command);
  if (!launch) return report(launch.error(), kBadInput);
  if (const auto copied = keep_copy(*launch); !copied) return report(copied.error(), kFailed);
  const auto running = start_coordinator(launch->coordinator);
  if (!running) {
    const bool input = running.error().code == ErrorCode::kInvalidArgument;
    return report(running.error(), input ? kBadInput : kFailed);
  }
  if (const auto written = write_launch(launch->coordinator); !written)
    report(written.error(), kFailed);  // the round runs all the same
  command.json ? print_json(*launch, *running) : print_text(*launch, *running);
  return kDone;
}

}  // namespace coshard::cli
