// coshard status: what this box's node says about itself in DIR/status.json, and what its account
// owns according to the public log, which is fetched and verified like any other.
// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "ledger/verify.h"
#include "node/cli/commands.h"
#include "node/cli/exit_code.h"
#include "node/cli/ledger_mirror.h"
#include "node/config.h"
#include "node/progress.h"
#include "protocol/base/quantity.h"

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

/// What the verified log says of this node's account in this node's round.
Result<Json> ask_credits(const Json& status) {
  const auto ledger = status.find("ledger");
  if (ledger == status.end() || !ledger->is_object())
    return fail(ErrorCode::kFailedPrecondition, "the node has not been admitted to a round");
  const std::string url = text(*ledger, "url");
  COSHARD_ASSIGN(const LedgerMirror mirror, LedgerMirror::fetch(url, text(status, "model")));
  const auto verified = ledger::read_ledger(ledger::DiskFolder(mirror.folder()));
  if (!verified) return tl::unexpected<Error>(verified.error().within("the ledger at " + url));
  if (verified->accounts.network().hex() != text(*ledger, "network"))
    return fail(ErrorCode::kPermissionDenied,
                url + ": expected the ledger of this node's round (network " +
                    text(*ledger, "network") + "), found another one");
  Json credits{{"posted", 0}, {"pending", 0}, {"entries", verified->checkpoint.size}};
  for (const auto& [account, balance] : verified->accounts.balances()) {
    if (account.hex() != text(status, "account")) continue;
    credits["posted"] = balance.posted;
    credits["pending"] = balance.pending;
  }
  return credits;
}

/// Puts "credits" into what the node said: null with a reason when the log could not be read.
void add_credits(Json& status) {
  const auto credits = ask_credits(status);
  status["credits"] = credits ? *credits : Json(nullptr);
  status["credits_unknown"] = credits ? "" : credits.error().message;
}

void print_credits(const Json& json) {
  const auto credits = json.find("credits");
  if (credits == json.end()) return;
  if (!credits->is_object()) {
    std::printf("credits    unknown: %s\n", text(json, "credits_unknown").c_str());
    return;
  }
  const auto units = [&](const char* key) {
    return node::render_count(credits->at(key).get<std::uint64_t>());
  };
  std::printf("credits    %s units posted, %s pending (verified, %s ledger entries)\n",
              units("posted").c_str(), units("pending").c_str(), units("entries").c_str());
}

void print_text(const Json& json) {
  std::printf("node       %s\n", liveness(json).c_str());
  std::printf("round      %s, stage %.0f replica %.0f, %s\n", text(json, "model").c_str(),
              number(json, "stage"), number(json, "replica"), text(json, "state").c_str());
  std::printf("step       %.0f   %s\n", number(json, "step"), text(json, "activity").c_str());
  if (!text(json, "waiting_for").empty())
    std::printf("waits for  %s\n", text(json, "waiting_for").c_str());
  if (json.contains("waits") && json["waits"].is_array())
    for (const Json& wait : json["waits"])
      if (wait.is_string()) std::printf("waits for  %s\n", wait.get<std::string>().c_str());
  if (number(json, "loss") > 0) std::printf("loss       %.4f\n", number(json, "loss"));
  std::printf("speed      %.0f tokens/s\n", number(json, "tokens_per_second"));
  print_credits(json);
  std::printf("memory     %s\n", bytes_text(number(json, "rss_bytes")).c_str());
  if (!json.contains("links") || !json["links"].is_array()) return;
  for (const Json& link : json["links"]) {
    std::printf("link       %.8s  stage %.0f  sent %s  received %s", text(link, "peer").c_str(),
                number(link, "stage"), bytes_text(number(link, "bytes_sent")).c_str(),
                bytes_text(number(link, "bytes_received")).c_str());
    if (link.contains("rtt_ms")) std::printf("  %.1f ms", number(link, "rtt_ms"));
    std::printf("\n");
  }
}

}  // namespace

int run(const NodeStatusCommand& command) {
  const auto status = read_status(command);
  if (!status) return report(status.error(), kBadInput);
  Json json = Json::parse(*status, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object())
    return report({ErrorCode::kCorruption,
                   "status.json: expected a JSON object, found something "
                   "else"},
                  kFailed);
  if (!command.offline) add_credits(json);
  if (command.json)
    std::printf("%s\n", json.dump().c_str());
  else
    print_text(json);
  return kDone;
}

}  // namespace coshard::cli
