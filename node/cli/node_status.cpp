// coshard status: what this box's node says about itself in DIR/status.json.
// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "node/cli/commands.h"
#include "node/cli/exit_code.h"
#include "node/config.h"
#include "node/progress.h"

namespace coshard::cli {
namespace {

using Json = nlohmann::ordered_json;

Result<std::string> read_status(const NodeStatusCommand& command) {
  COSHARD_ASSIGN(const node::Config config, node::load_config(node::process_environment()));
  const auto path = command.dir.value_or(config.node) / "status.json";
  std::ifstream in(path, std::ios::binary);
  if (!in)
    return fail(ErrorCode::kNotFound,
                path.string() +
                    ": expected the status of a node, found none; is coshard-node "
                    "running with --dir " +
                    path.parent_path().string() + "?");
  return std::string{std::istreambuf_iterator<char>(in), {}};
}

double number(const Json& json, const char* key) {
  const auto it = json.find(key);
  return it != json.end() && it->is_number() ? it->get<double>() : 0;
}

std::string text(const Json& json, const char* key) {
  const auto it = json.find(key);
  return it != json.end() && it->is_string() ? it->get<std::string>() : "";
}

/// The file outlives its writer: say so when the process is gone or has stopped writing.
std::string liveness(const Json& json) {
  const auto pid = static_cast<pid_t>(number(json, "pid"));
  const auto now =
      std::chrono::duration<double, std::milli>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  const double age = (now - number(json, "updated_ms")) / 1000;
  if (pid <= 0 || (kill(pid, 0) != 0 && errno == ESRCH))
    return "not running (this is what it last said, " + node::render_seconds(age) + " ago)";
  constexpr double kStaleSeconds = 5;
  if (age > kStaleSeconds)
    return "process " + std::to_string(pid) + " has said nothing for " + node::render_seconds(age);
  return "running (process " + std::to_string(pid) + ")";
}

void print_text(const Json& json) {
  std::printf("node       %s\n", liveness(json).c_str());
  std::printf("round      %s, stage %.0f replica %.0f, %s\n", text(json, "model").c_str(),
              number(json, "stage"), number(json, "replica"), text(json, "state").c_str());
  std::printf("step       %.0f   %s\n", number(json, "step"), text(json, "activity").c_str());
  if (!text(json, "waiting_for").empty())
    std::printf("waits for  %s\n", text(json, "waiting_for").c_str());
  if (number(json, "loss") > 0) std::printf("loss       %.4f\n", number(json, "loss"));
  std::printf("speed      %.0f tokens/s\n", number(json, "tokens_per_second"));
  if (json.contains("credits") && json["credits"].is_object())
    std::printf("units      %.0f posted, %.0f pending\n", number(json["credits"], "posted"),
                number(json["credits"], "pending"));
  std::printf("memory     %s\n", node::render_bytes(number(json, "rss_bytes")).c_str());
  if (!json.contains("links") || !json["links"].is_array()) return;
  for (const Json& link : json["links"]) {
    std::printf("link       %.8s  stage %.0f  sent %s  received %s", text(link, "peer").c_str(),
                number(link, "stage"), node::render_bytes(number(link, "bytes_sent")).c_str(),
                node::render_bytes(number(link, "bytes_received")).c_str());
    if (link.contains("rtt_ms")) std::printf("  %.1f ms", number(link, "rtt_ms"));
    std::printf("\n");
  }
}

}  // namespace

int run(const NodeStatusCommand& command) {
  const auto status = read_status(command);
  if (!status) return report(status.error(), kBadInput);
  const Json json = Json::parse(*status, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object())
    return report({ErrorCode::kCorruption,
                   "status.json: expected a JSON object, found something "
                   "else"},
                  kFailed);
  if (command.json)
    std::printf("%s\n", json.dump().c_str());
  else
    print_text(json);
  return kDone;
}

}  // namespace coshard::cli
