// coshard round list, status, pause, resume, finish.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "node/cli/commands.h"
#include "node/cli/coordinator_process.h"
#include "node/cli/exit_code.h"
#include "node/cli/http_client.h"
#include "node/cli/round_handle.h"
#include "node/progress.h"

namespace coshard::cli {
namespace {

using Json = nlohmann::ordered_json;

Result<RoundHandle> handle_of(const std::string& id) {
  COSHARD_ASSIGN(const node::Config config, node::load_config(node::process_environment()));
  return find_round(id, config);
}

/// What is left of a round whose coordinator does not run.
Json stopped_status(const RoundHandle& round) {
  const RoundRemains remains = read_remains(*round.dir);
  Json json{{"state", remains.finished ? "finished" : "stopped"},
            {"dir", round.dir->string()},
            {"step", remains.step}};
  if (remains.loss) json["loss"] = *remains.loss;
  return json;
}

void print_stopped(const RoundHandle& round) {
  const RoundRemains remains = read_remains(*round.dir);
  std::printf("%s: %s", round.id.c_str(), remains.finished ? "finished" : "no coordinator runs");
  if (remains.loss)
    std::printf("; its last step was %llu with loss %.4f",
                static_cast<unsigned long long>(remains.step), *remains.loss);
  std::printf("\n  log     %s\n", (*round.dir / "logs/coordinator.log").c_str());
  if (!remains.finished) std::printf("  resume  coshard round resume %s\n", round.id.c_str());
}

Json list_entry(const std::string& name, const RoundHandle& round) {
  Json entry{{"name", name}, {"dir", round.dir->string()}};
  const auto status = is_running(round)
                          ? ask_status(round.url)
                          : Result<node::RoundStatus>(fail(ErrorCode::kUnavailable, "not running"));
  if (status) {
    entry["state"] = status->state;
    entry["step"] = status->step;
    entry["steps"] = status->steps;
    entry["url"] = round.url;
  } else {
    const Json stopped = stopped_status(round);
    entry["state"] = stopped["state"];
    entry["step"] = stopped["step"];
  }
  return entry;
}

/// Starts a coordinator that was launched before and has stopped.
int restart(const RoundHandle& round) {
  const auto launch = read_launch(*round.dir);
  if (!launch) return report(launch.error(), kBadInput);
  const auto running = start_coordinator(*launch);
  if (!running) return report(running.error(), kFailed);
  std::printf("%s: the coordinator runs again (process %d); its nodes may join with\n  %s\n",
              round.id.c_str(), running->file.pid, running->invitation.c_str());
  return kDone;
}

}  // namespace

int run(const RoundListCommand& command) {
  const auto config = node::load_config(node::process_environment());
  if (!config) return report(config.error(), kBadInput);
  std::vector<std::string> names;
  std::error_code ec;
  for (const auto& entry : std::filesystem::directory_iterator(config->rounds, ec))
    names.push_back(entry.path().filename());
  std::ranges::sort(names);
  Json list = Json::array();
  for (const std::string& name : names) {
    if (const auto round = find_round((config->rounds / name).string(), *config))
      list.push_back(list_entry(name, *round));
  }
  if (command.json) {
    std::printf("%s\n", list.dump().c_str());
    return kDone;
  }
  if (list.empty())
    std::printf("no rounds under %s; coshard round launch FILE starts one\n",
                config->rounds.c_str());
  for (const Json& entry : list)
    std::printf("%-24s %-8s step %llu  %s\n", entry["name"].get<std::string>().c_str(),
                entry["state"].get<std::string>().c_str(),
                static_cast<unsigned long long>(entry["step"].get<std::uint64_t>()),
                entry["dir"].get<std::string>().c_str());
  return kDone;
}

int run(const RoundStatusCommand& command) {
  const auto round = handle_of(command.id);
  if (!round) return report(round.error(), kBadInput);
  const auto json = ask_status_json(round->url);
  if (!json) {
    if (!round->dir) return report(json.error(), kFailed);
    if (command.json)
      std::printf("%s\n", stopped_status(*round).dump().c_str());
    else
      print_stopped(*round);
    return kDone;
  }
  if (command.json) {
    std::printf("%s\n", json->c_str());
    return kDone;
  }
  const auto status = node::parse_round_status(*json);
  if (!status) return report(status.error(), kFailed);
  for (const std::string& line : node::render_block(*status, node::Terminal::of(stdout)))
    std::printf("%s\n", line.c_str());
  if (status->checkpoint_step > 0)
    std::printf("last checkpoint: step %llu\n",
                static_cast<unsigned long long>(status->checkpoint_step));
  std::printf("ledger: %s, %llu entries\n", status->ledger_origin.c_str(),
              static_cast<unsigned long long>(status->ledger_size));
  return kDone;
}

int run(const RoundControlCommand& command) {
  const auto round = handle_of(command.id);
  if (!round) return report(round.error(), kBadInput);
  if (command.verb == "resume" && round->dir && !is_running(*round)) return restart(*round);
  const auto token = read_token(*round, command.token);
  if (!token) return report(token.error().within("round " + command.verb), kBadInput);
  const auto answer = http_post(round->url, "/" + command.verb, *token);
  if (!answer) return report(answer.error(), kFailed);
  if (answer->status / 100 != 2)
    return report({ErrorCode::kFailedPrecondition,
                   round->url + "/" + command.verb + ": expected to be accepted, found status " +
                       std::to_string(answer->status) +
                       (answer->status == 401 ? ": the control token is not the coordinator's"
                                              : ": the round cannot do that now")},
                  kFailed);
  std::printf("%s: %s accepted\n", command.id.c_str(), command.verb.c_str());
  return kDone;
}

}  // namespace coshard::cli
