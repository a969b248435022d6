// JSON for tools, text for Prometheus, one line per step.
// SPDX-License-Identifier: Apache-2.0
#include "node/coordinator/progress_log.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "node/metrics.h"

namespace coshard::node {

namespace {

using nlohmann::json;

/// JSON has no infinities: null says that there is no number.
json number(double value) { return std::isfinite(value) ? json(value) : json(nullptr); }

const char* state_of(const round::CoordinatorStatus& status) {
  switch (status.phase) {
    case round::CoordinatorPhase::kAdmitting:
    case round::CoordinatorPhase::kLoading:
      return "waiting";
    case round::CoordinatorPhase::kTraining:
      return "running";
    case round::CoordinatorPhase::kPaused:
      return "paused";
    case round::CoordinatorPhase::kEnding:
      return "ending";
    case round::CoordinatorPhase::kEnded:
      return "ended";
  }
  return "ended";
}

const char* name_of(EndReason reason) {
  switch (reason) {
    case EndReason::kFinished:
      return "finished";
    case EndReason::kStopped:
      return "stopped";
    case EndReason::kNodeLost:
      return "node_lost";
    case EndReason::kNotFinite:
      return "not_finite";
    case EndReason::kInternal:
      return "internal";
  }
  return "internal";
}

const char* name_of(NodeActivity activity) {
  switch (activity) {
    case NodeActivity::kIdle:
      return "idle";
    case NodeActivity::kComputing:
      return "computing";
    case NodeActivity::kAveraging:
      return "averaging";
    case NodeActivity::kUpdating:
      return "updating";
    case NodeActivity::kSaving:
      return "saving";
  }
  return "idle";
}

std::string_view name_of(transport::PeerState state) {
  if (state == transport::PeerState::kLive || state == transport::PeerState::kConnecting)
    return "live";
  return state == transport::PeerState::kSuspect ? "suspect" : "lost";
}

double tokens_per_second(const round::StepRecord& record) {
  return record.seconds > 0 ? static_cast<double>(record.tokens) / record.seconds : 0;
}

json nodes_json(const ProgressView& view) {
  json nodes = json::array();
  for (const round::NodeStatus& node : view.status.nodes) {
    const auto account = view.accounts.find(node.member.node);
    const auto silence = view.courier.silence(node.member.node);
    nodes.push_back(
        {{"node", node.member.node.hex()},
         {"account", account == view.accounts.end() ? "" : account->second},
         {"stage", node.member.stage.value},
         {"replica", node.member.replica.value},
         {"endpoint", node.member.endpoint},
         {"certificate", to_hex(node.member.certificate)},
         {"device", node.device},
         {"software", node.software},
         {"state", name_of(view.courier.state(node.member.node))},
         {"activity", name_of(node.heartbeat.activity)},
         {"applied_step", node.heartbeat.applied_step.value},
         {"outstanding", node.heartbeat.outstanding},
         {"tokens_per_second", node.heartbeat.tokens_per_second},
         {"units_this_step", node.units_this_step},
         {"joining", node.member.joining},
         {"faults", view.courier.faults(node.member.node)},
         {"silent_ms", std::chrono::duration_cast<std::chrono::milliseconds>(silence).count()}});
  }
  return nodes;
}

json missing_json(const RoundFile& round, const round::CoordinatorStatus& status) {
  std::vector<std::uint32_t> seated(round.model.stages(), 0);
  for (const round::NodeStatus& node : status.nodes) ++seated.at(node.member.stage.value);
  json missing = json::array();
  for (std::size_t stage = 0; stage < seated.size(); ++stage)
    if (seated[stage] < round.admission.replicas)
      missing.push_back({{"stage", stage}, {"replicas", round.admission.replicas - seated[stage]}});
  return missing;
}

/// Payload bytes over tokens that crossed, both directions, all boundaries together.
double boundary_bytes_per_token(const round::CoordinatorStatus& status) {
  std::uint64_t bytes = 0;
  std::uint64_t tokens = 0;
  for (const round::NodeStatus& node : status.nodes) {
    bytes += node.heartbeat.boundary_bytes_sent;
    tokens += node.heartbeat.boundary_tokens;
  }
  return tokens == 0 ? 0 : static_cast<double>(bytes) / static_cast<double>(tokens);
}

}  // namespace

Result<std::unique_ptr<ProgressLog>> ProgressLog::open(const RoundFile& round,
                                                       const std::filesystem::path& directory) {
  const auto file = directory / "metrics.jsonl";
  std::FILE* stream = std::fopen(file.c_str(), "ae");
  if (stream == nullptr)
    return fail(ErrorCode::kUnavailable,
                "cannot write " + file.string() + ": " + std::strerror(errno));
  return std::unique_ptr<ProgressLog>(new ProgressLog(round, file, stream));
}

ProgressLog::~ProgressLog() { std::fclose(stream_); }

Result<void> ProgressLog::catch_up(const std::vector<round::JournalRecord>& history) {
  std::ifstream in(file_, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const std::size_t whole = text.rfind('\n') + 1;  // 0 where there is none
  std::error_code error;
  if (whole < text.size()) std::filesystem::resize_file(file_, whole, error);
  if (error)
    return fail(ErrorCode::kUnavailable, "cannot write " + file_.string() + ": " + error.message());
  const auto lines = std::count(text.begin(), text.end(), '\n');
  std::ptrdiff_t steps = 0;
  const round::StepRecord* last = nullptr;
  for (const round::JournalRecord& record : history)
    if (const auto* step = std::get_if<round::StepRecord>(&record)) {
      last = step;
      ++steps;
    }
  return last != nullptr && lines + 1 == steps ? committed(*last) : Result<void>();
}

Result<void> ProgressLog::committed(const round::StepRecord& record) {
  last_ = record;
  seconds_total_ += record.seconds;
  ++steps_total_;
  tokens_total_ += record.tokens;
  const json line = {{"step", record.step().value},
                     {"loss", number(record.loss())},
                     {"tokens", record.tokens},
                     {"seconds", record.seconds},
                     {"grad_norm", number(record.grad_norm)},
                     {"learning_rate", record.scalars.learning_rate},
                     {"skipped", record.scalars.skip},
                     {"tokens_per_second", tokens_per_second(record)}};
  const std::string text = line.dump() + "\n";
  if (std::fwrite(text.data(), 1, text.size(), stream_) != text.size() || std::fflush(stream_) != 0)
    return fail(ErrorCode::kUnavailable, "cannot write " + file_.string() + ": " +
                                             std::strerror(errno) +
                                             "; free space on that disk and start again");
  return {};
}

std::string ProgressLog::status_json(const ProgressView& view, TimePoint now) {
  const round::CoordinatorStatus& status = view.status;
  if (status.waiting_for != waiting_for_) {
    waiting_for_ = status.waiting_for;
    waiting_since_ = now;
  }
  const std::uint64_t left = round_.training.steps - status.last_step.value;
  json document = {
      {"model", round_.model.name},
      {"state", state_of(status)},
      {"step", status.last_step.value},
      {"steps", round_.training.steps},
      {"stages", round_.model.stages()},
      {"replicas", round_.admission.replicas},
      {"units_done", status.units_done},
      {"units_total", status.units_total},
      {"nodes_lost", status.nodes_lost},
      {"nodes_joined", status.nodes_joined},
      {"microbatches_repaired", status.microbatches_repaired},
      {"loss", last_ ? number(last_->loss()) : json(nullptr)},
      {"grad_norm", last_ ? number(last_->grad_norm) : json(nullptr)},
      {"tokens_per_second", last_ ? tokens_per_second(*last_) : 0},
      {"tokens", tokens_total_},
      {"boundary_bytes_per_token", boundary_bytes_per_token(status)},
      {"seconds_left", nullptr},
      {"nodes", nodes_json(view)},
      {"missing", missing_json(round_, status)},
      {"ledger", {{"origin", ledger_.origin}, {"size", ledger_.size}, {"root", ledger_.root_hex}}},
      {"checkpoint", {{"step", status.resumable_step.value}}},
      {"ended", nullptr},
      {"reason", ""},
      {"waiting_for",
       {{"what", waiting_for_}, {"seconds", seconds(now - waiting_since_.value_or(now))}}},
      {"waits", json::array()}};
  for (const round::Wait& wait : status.waits)
    document["waits"].push_back({{"what", wait.what},
                                 {"seconds", seconds(now - wait.since)},
                                 {"seconds_left", seconds(wait.deadline - now)},
                                 {"then", wait.then},
                                 {"text", sentence(wait, now)}});
  if (steps_total_ > 0)
    document["seconds_left"] =
        seconds_total_ / static_cast<double>(steps_total_) * static_cast<double>(left);
  if (view.finished) {
    document["reason"] = view.finished->text;
    document["ended"] = {{"reason", name_of(view.finished->reason)},
                         {"text", view.finished->text},
                         {"last_step", view.finished->last_step.value},
                         {"resumable_step", view.finished->resumable_step.value},
                         {"resume_command", view.resume_command}};
  }
  return document.dump();
}

std::string ProgressLog::metrics_text(const ProgressView& view) const {
  using enum MetricKind;
  const CourierCounters& courier = view.courier.counters();
  MetricsText text;
  text.metric("step", kGauge, "Last committed step.")
      .sample(static_cast<double>(view.status.last_step.value))
      .metric("loss", kGauge, "Loss of the last committed step, nats per token.")
      .sample(last_ ? last_->loss() : std::nan(""))
      .metric("tokens_total", kCounter, "Target tokens of committed steps.")
      .sample(static_cast<double>(tokens_total_))
      .metric("step_seconds_total", kCounter, "Seconds from opening to commit, all steps.")
      .sample(seconds_total_)
      .metric("sealing_seconds_total", kCounter, "Spent signing and hashing outgoing messages.")
      .sample(seconds(courier.sealing))
      .metric("opening_seconds_total", kCounter, "Spent checking incoming messages.")
      .sample(seconds(courier.opening))
      .metric("ledger_seconds_total", kCounter, "Spent on cs-ledger.")
      .sample(seconds(ledger_.busy))
      .metric("nodes_lost_total", kCounter, "Members that were fenced.")
      .sample(static_cast<double>(view.status.nodes_lost))
      .metric("nodes_joined_total", kCounter, "Became members while the round ran.")
      .sample(static_cast<double>(view.status.nodes_joined))
      .metric("microbatches_repaired_total", kCounter, "Done again, wholly or in part, for a loss.")
      .sample(static_cast<double>(view.status.microbatches_repaired))
      .metric("ledger_size", kGauge, "Entries in the published log.")
      .sample(static_cast<double>(ledger_.size))
      .metric("node_live", kGauge, "1 where a node is heard, by node.");
  for (const round::NodeStatus& node : view.status.nodes) {
    const bool live = view.courier.state(node.member.node) == transport::PeerState::kLive;
    text.sample(live ? 1 : 0, {{"node", node.member.node.short_hex()},
                               {"stage", std::to_string(node.member.stage.value)}});
  }
  text.metric("peer_faults", kGauge, "Breaches of the protocol since it was admitted, by node.");
  for (const round::NodeStatus& node : view.status.nodes)
    text.sample(view.courier.faults(node.member.node), {{"node", node.member.node.short_hex()}});
  text.metric("frames_refused_total", kCounter, "Frames that were refused, by reason.");
  for (const auto& [reason, count] : view.courier.refusals())
    text.sample(static_cast<double>(count), {{"reason", reason}});
  text.metric("messages_ignored_total", kCounter, "Messages the machine ignored, by cause.")
      .sample(static_cast<double>(view.machine.stale), {{"cause", "stale"}})
      .sample(static_cast<double>(view.machine.repeated), {{"cause", "repeated"}})
      .sample(static_cast<double>(view.machine.stranger), {{"cause", "stranger"}})
      .sample(static_cast<double>(view.machine.faults), {{"cause", "fault"}});
  return text.take();
}

}  // namespace coshard::node
