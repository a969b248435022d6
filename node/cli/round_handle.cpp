// See round_handle.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/cli/round_handle.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "node/cli/http_client.h"
#include "node/cli/metrics_log.h"
#include "node/round_file.h"
#include "node/web_url.h"

namespace coshard::cli {
namespace {

constexpr std::size_t kNamesShown = 8;

std::string known_rounds(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  std::error_code ec;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ec))
    names.push_back(entry.path().filename());
  std::ranges::sort(names);
  std::string list;
  for (std::size_t i = 0; i < std::min(names.size(), kNamesShown); ++i)
    list += (i > 0 ? ", " : "") + names[i];
  return list.empty() ? "none" : list;
}

std::string text_member(const nlohmann::json& json, const char* key) {
  const auto it = json.find(key);
  return it != json.end() && it->is_string() ? it->get<std::string>() : "";
}

}  // namespace

Result<CoordinatorFile> read_coordinator_file(const std::filesystem::path& dir) {
  const auto path = dir / "coordinator.json";
  std::ifstream in(path, std::ios::binary);
  if (!in)
    return fail(ErrorCode::kNotFound,
                path.string() + ": expected the file of a coordinator, found none");
  const auto json = nlohmann::json::parse(std::string{std::istreambuf_iterator<char>(in), {}},
                                          nullptr, /*allow_exceptions=*/false);
  const auto pid = json.is_object() ? json.find("pid") : json.end();
  const std::string http = json.is_object() ? text_member(json, "http") : "";
  if (http.empty() || pid == json.end() || !pid->is_number_integer())
    return fail(ErrorCode::kCorruption,
                path.string() + ": expected JSON with pid and http, found something else");
  CoordinatorFile file;
  file.pid = pid->get<int>();
  file.model = text_member(json, "model");
  file.endpoint = text_member(json, "endpoint");
  file.url = http.starts_with("http://") ? http : "http://" + http;
  return file;
}

Result<RoundHandle> find_round(const std::string& id, const node::Config& config) {
  RoundHandle round{id, {}, {}, 0};
  if (node::is_web_url(id)) {
    round.url = id.substr(0, id.find_last_not_of('/') + 1);
    return round;
  }
  std::error_code ec;
  for (const std::filesystem::path& dir : {std::filesystem::path(id), config.rounds / id}) {
    if (!std::filesystem::is_directory(dir, ec)) continue;
    const auto file = read_coordinator_file(dir);
    if (!file && file.error().code == ErrorCode::kNotFound) continue;
    if (!file) return tl::unexpected<Error>(file.error());
    round.dir = std::filesystem::absolute(dir, ec).lexically_normal();
    round.url = file->url;
    round.pid = file->pid;
    return round;
  }
  return fail(ErrorCode::kNotFound, "round \"" + id + "\": expected a name under " +
                                        config.rounds.string() +
                                        " (found there: " + known_rounds(config.rounds) +
                                        "), a round's folder or the http URL of a coordinator");
}

/// The state letter after the name in /proc/PID/stat. A process that has ended but that nobody has
/// waited for (Z) still answers signals.
bool is_running(const RoundHandle& round) {
  std::ifstream in("/proc/" + std::to_string(round.pid) + "/stat");
  std::string line;
  if (round.pid <= 0 || !std::getline(in, line)) return false;
  const std::size_t name_end = line.rfind(')');
  if (name_end == std::string::npos || name_end + 2 >= line.size()) return false;
  const char state = line[name_end + 2];
  return state != 'Z' && state != 'X';
}

RoundRemains read_remains(const std::filesystem::path& dir) {
  RoundRemains remains;
  const auto metrics = read_metrics(dir / "metrics.jsonl");
  if (!metrics || metrics->empty()) return remains;
  remains.step = metrics->back().step;
  remains.loss = metrics->back().loss;
  const auto loaded = node::load_round(dir / "round.toml");
  remains.finished = loaded && remains.step >= loaded->round.training.steps;
  return remains;
}

Result<std::string> read_token(const RoundHandle& round,
                               const std::optional<std::filesystem::path>& file) {
  if (!file && !round.dir)
    return fail(ErrorCode::kInvalidArgument,
                "expected --token FILE with the control.token of the coordinator at " + round.url);
  const auto path = file ? *file : *round.dir / "control.token";
  std::ifstream in(path);
  std::string token;
  if (!in || !std::getline(in, token) || token.empty())
    return fail(ErrorCode::kNotFound,
                path.string() + ": expected the coordinator's control token, found none");
  return token;
}

Result<std::string> ask_status_json(const std::string& url) {
  COSHARD_ASSIGN(HttpAnswer answer, http_get(url, "/status"));
  constexpr int kOk = 200;
  if (answer.status != kOk)
    return fail(ErrorCode::kUnavailable,
                url + "/status: expected the answer 200, found " + std::to_string(answer.status));
  return std::move(answer.body);
}

Result<node::RoundStatus> ask_status(const std::string& url) {
  COSHARD_ASSIGN(const std::string json, ask_status_json(url));
  return node::parse_round_status(json);
}

}  // namespace coshard::cli
