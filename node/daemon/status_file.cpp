// Status as JSON.
// SPDX-License-Identifier: Apache-2.0
#include "node/daemon/status_file.h"

#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "node/startup.h"
#include "protocol/base/log.h"

namespace coshard::node {

namespace {

using nlohmann::json;

const char* name_of(round::ParticipantPhase phase) {
  switch (phase) {
    case round::ParticipantPhase::kJoining:
      return "joining";
    case round::ParticipantPhase::kLoading:
      return "loading";
    case round::ParticipantPhase::kCatchingUp:
      return "catching up";
    case round::ParticipantPhase::kTraining:
      return "training";
    case round::ParticipantPhase::kEnding:
      return "ending";
    case round::ParticipantPhase::kEnded:
      return "ended";
  }
  return "ended";
}

const char* name_of(NodeActivity activity) {
  constexpr std::array kNames{"idle", "computing", "averaging", "updating", "saving"};
  return kNames.at(static_cast<std::size_t>(activity));
}

json links_json(const StatusView& view) {
  json links = json::array();
  for (const auto& [peer, stage] : view.links) {
    const LinkBytes bytes = view.courier.link_bytes(peer);
    links.push_back({{"peer", peer.hex()},
                     {"stage", stage.value},
                     {"bytes_sent", bytes.sent},
                     {"bytes_received", bytes.received},
                     {"faults", view.courier.faults(peer)},
                     {"state", transport::to_string(view.courier.state(peer))}});
  }
  return links;
}

/// How often each reason occurred; those that never did are left out.
json refused_json(const StatusView& view) {
  json refused = json::object();
  for (const auto& [reason, count] : view.courier.refusals())
    if (count > 0) refused[reason] = count;
  return refused;
}

json costs_json(const StatusView& view) {
  return {{"engine_seconds", seconds(view.engine_busy)},
          {"sealing_seconds", seconds(view.courier.counters().sealing)},
          {"opening_seconds", seconds(view.courier.counters().opening)},
          {"receipts_seconds", seconds(view.receipts.spent)},
          {"receipts", view.receipts.receipts},
          {"windows", view.receipts.windows},
          {"windows_countersigned", view.receipts.countersigned},
          {"windows_refused", view.receipts.refused},
          {"send_failures", view.courier.counters().send_failures}};
}

}  // namespace

std::uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
  file >> total >> resident;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

std::uint64_t StatusFile::tokens_per_second(std::uint64_t tokens_done) {
  const TimePoint now = clock_.now();
  const Duration passed = rate_since_ ? now - *rate_since_ : Duration{};
  if (!rate_since_ || passed >= limits::kHeartbeatInterval) {
    if (rate_since_) {
      const double recent = static_cast<double>(tokens_done - rate_tokens_) / seconds(passed);
      rate_ = rate_ == 0 ? recent : 0.7 * rate_ + 0.3 * recent;
    }
    rate_since_ = now;
    rate_tokens_ = tokens_done;
  }
  return static_cast<std::uint64_t>(rate_);
}

void StatusFile::write(const StatusView& view) {
  json document = {{"pid", ::getpid()},
                   {"node", view.node.hex()},
                   {"account", view.account.hex()},
                   {"model", view.model},
                   {"holds", view.held},
                   {"stage", nullptr},
                   {"replica", nullptr},
                   {"state", name_of(view.phase)},
                   {"step", view.heartbeat.applied_step.value},
                   {"tokens_per_second", view.heartbeat.tokens_per_second},
                   {"loss", view.runner.loss_last},
                   {"activity", name_of(view.heartbeat.activity)},
                   {"waiting_for", view.waiting_for},
                   {"waits", json::array()},
                   {"outstanding", view.heartbeat.outstanding},
                   {"boundary_bytes_sent", view.runner.boundary_bytes_sent},
                   {"boundary_tokens", view.runner.boundary_tokens},
                   {"kept_bytes", view.kept_bytes},
                   {"rss_bytes", resident_bytes()},
                   {"ledger", nullptr},
                   {"links", links_json(view)},
                   {"refused", refused_json(view)},
                   {"costs", costs_json(view)},
                   {"updated_ms", clock_.wall_ms()}};
  for (const round::Wait& wait : view.waits)
    document["waits"].push_back(sentence(wait, clock_.now()));
  if (view.seat) {
    document["stage"] = view.seat->stage.value;
    document["replica"] = view.seat->replica.value;
  }
  if (!view.ledger.url.empty())
    document["ledger"] = {{"url", view.ledger.url}, {"network", view.ledger.network.hex()}};
  const auto written = replace_file(file_, document.dump(2) + "\n");
  if (!written && !complained_) log(LogLevel::kWarning, "status", written.error().message);
  complained_ = !written;
}

}  // namespace coshard::node
