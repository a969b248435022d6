// See coordinator_process.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/cli/coordinator_process.h"

#include <chrono>
#include <csignal>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "node/cli/exit_code.h"

namespace coshard::cli {
namespace {

constexpr std::chrono::seconds kStartTimeout{30};
constexpr std::chrono::milliseconds kLookInterval{20};

std::string last_line(const std::filesystem::path& log) {
  std::string text = log_tail(log, 1);
  while (text.ends_with('\n')) text.pop_back();
  return text.empty() ? "it said nothing in " + log.string() : text;
}

}  // namespace

Result<void> write_launch(const CoordinatorLaunch& launch) {
  const nlohmann::ordered_json json{{"round", launch.round.string()},
                                    {"listen", launch.listen},
                                    {"advertise", launch.advertise},
                                    {"http", launch.http},
                                    {"witnesses", launch.witnesses}};
  const auto path = launch.dir / "launch.json";
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << json.dump(2) << "\n";
  out.close();
  if (!out) return fail(ErrorCode::kUnavailable, path.string() + ": could not be written");
  return {};
}

Result<CoordinatorLaunch> read_launch(const std::filesystem::path& dir) {
  std::ifstream in(dir / "launch.json", std::ios::binary);
  const auto json = nlohmann::json::parse(std::string{std::istreambuf_iterator<char>(in), {}},
                                          nullptr, /*allow_exceptions=*/false);
  CoordinatorLaunch launch;
  launch.dir = dir;
  for (const auto& [key, out] : {std::pair<const char*, std::string*>{"listen", &launch.listen},
                                 {"advertise", &launch.advertise},
                                 {"http", &launch.http},
                                 {"witnesses", &launch.witnesses}}) {
    if (json.is_object() && json.contains(key) && json[key].is_string())
      *out = json[key].get<std::string>();
  }
  if (!json.is_object() || !json.contains("round") || !json["round"].is_string())
    return fail(ErrorCode::kNotFound,
                (dir / "launch.json").string() +
                    ": expected the flags of an earlier launch, found none; start it by hand: "
                    "coshard-coordinator --round FILE --dir " +
                    dir.string());
  launch.round = json["round"].get<std::string>();
  return launch;
}

Result<RunningCoordinator> start_coordinator(const CoordinatorLaunch& launch) {
  COSHARD_ASSIGN(const auto program, sibling_program("coshard-coordinator"));
  std::error_code ec;
  std::filesystem::create_directories(launch.dir / "logs", ec);
  if (ec)
    return fail(ErrorCode::kUnavailable,
                launch.dir.string() + ": could not be made: " + ec.message());
  SpawnRequest request{"coordinator", program, {}, launch.dir / "logs/coordinator.log"};
  request.arguments = {"--round",  launch.round.string(), "--dir",  launch.dir.string(),
                       "--listen", launch.listen,         "--http", launch.http};
  if (!launch.advertise.empty()) {
    request.arguments.emplace_back("--advertise");
    request.arguments.push_back(launch.advertise);
  }
  if (!launch.ledger_store.empty()) {
    request.arguments.emplace_back("--ledger-store");
    request.arguments.push_back(launch.ledger_store);
  }
  if (!launch.witnesses.empty()) {
    request.arguments.emplace_back("--witnesses");
    request.arguments.push_back(launch.witnesses);
  }
  if (launch.stage_patience) {
    request.arguments.emplace_back("--stage-patience");
    request.arguments.push_back(std::to_string(launch.stage_patience->count()));
  }
  request.dies_with_us = launch.dies_with_us;
  COSHARD_ASSIGN(ChildProcess process, ChildProcess::spawn(request));
  const auto deadline = std::chrono::steady_clock::now() + kStartTimeout;
  while (std::chrono::steady_clock::now() < deadline) {
    if (const auto status = process.wait_exit(kLookInterval))
      return fail(
          *status == kBadInput ? ErrorCode::kInvalidArgument : ErrorCode::kUnavailable,
          "the coordinator ended with " + describe_exit(*status) + ": " + last_line(process.log()));
    const auto file = read_coordinator_file(launch.dir);
    if (!file || file->pid != process.pid()) continue;  // not yet, or that of an earlier run
    std::ifstream in(launch.dir / "invitation");
    std::string invitation;
    if (!std::getline(in, invitation)) continue;
    if (!ask_status(file->url)) continue;  // it listens, and has nothing to say yet
    return RunningCoordinator{std::move(process), *file, invitation};
  }
  process.signal(SIGTERM);
  return fail(ErrorCode::kDeadlineExceeded, "the coordinator did not listen within " +
                                                std::to_string(kStartTimeout.count()) +
                                                " s: " + last_line(process.log()));
}

}  // namespace coshard::cli
