// See round_status.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/round_status.h"

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace coshard::node {
namespace {

using Json = nlohmann::json;

/// The member `key` when it has the type of `out`; else `out` stays.
void read(const Json& object, const char* key, std::string& out) {
  const auto it = object.find(key);
  if (it != object.end() && it->is_string()) out = it->get<std::string>();
}
template <class Integer>
  requires std::is_integral_v<Integer>
void read(const Json& object, const char* key, Integer& out) {
  const auto it = object.find(key);
  if (it != object.end() && it->is_number_unsigned()) out = it->get<Integer>();
}
void read(const Json& object, const char* key, std::optional<double>& out) {
  const auto it = object.find(key);
  if (it != object.end() && it->is_number()) out = it->get<double>();
}
void read(const Json& object, const char* key, std::optional<std::uint64_t>& out) {
  const auto it = object.find(key);
  if (it != object.end() && it->is_number_unsigned()) out = it->get<std::uint64_t>();
}

const Json& member(const Json& object, const char* key) {
  static const Json kNothing = Json::object();
  const auto it = object.find(key);
  return it != object.end() && (it->is_object() || it->is_array()) ? *it : kNothing;
}

RoundStatus::Node read_node(const Json& json) {
  RoundStatus::Node node;
  read(json, "node", node.node);
  read(json, "account", node.account);
  read(json, "stage", node.stage);
  read(json, "replica", node.replica);
  read(json, "endpoint", node.endpoint);
  read(json, "certificate", node.certificate);
  read(json, "state", node.state);
  read(json, "activity", node.activity);
  read(json, "applied_step", node.applied_step);
  read(json, "tokens_per_second", node.tokens_per_second);
  read(json, "silent_ms", node.silent_ms);
  read(json, "outstanding", node.outstanding);
  return node;
}

/// {"what": …, "seconds": …} as one phrase.
void read_waiting(const Json& json, RoundStatus& status) {
  const Json& waiting = member(json, "waiting_for");
  if (!waiting.is_object()) return;
  read(waiting, "what", status.waiting_for);
  std::optional<double> seconds;
  read(waiting, "seconds", seconds);
  if (status.waiting_for.empty() || !seconds) return;
  std::array<char, 32> age{};
  std::snprintf(age.data(), age.size(), " (%.1f s)", *seconds);
  status.waiting_for += age.data();
}

void read_waits(const Json& json, RoundStatus& status) {
  const Json& waits = member(json, "waits");
  if (!waits.is_array()) return;
  for (const Json& wait : waits)
    if (wait.is_object()) read(wait, "text", status.waits.emplace_back());
}

}  // namespace

Result<RoundStatus> parse_round_status(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object())
    return fail(ErrorCode::kCorruption, "status: expected a JSON object, found " +
                                            std::to_string(text.size()) +
                                            " bytes of something else");
  for (const char* key : {"model", "state", "step", "steps"}) {
    if (!json.contains(key))
      return fail(ErrorCode::kCorruption,
                  "status: expected the member \"" + std::string(key) + "\", found none");
  }
  RoundStatus status;
  read(json, "model", status.model);
  read(json, "state", status.state);
  read(json, "reason", status.reason);
  read_waiting(json, status);
  read_waits(json, status);
  read(json, "step", status.step);
  read(json, "steps", status.steps);
  read(json, "nodes_lost", status.nodes_lost);
  read(json, "nodes_joined", status.nodes_joined);
  read(json, "microbatches_repaired", status.microbatches_repaired);
  read(json, "loss", status.loss);
  read(json, "tokens_per_second", status.tokens_per_second);
  read(json, "boundary_bytes_per_token", status.boundary_bytes_per_token);
  read(json, "seconds_left", status.seconds_left);
  for (const Json& node : member(json, "nodes")) {
    if (node.is_object()) status.nodes.push_back(read_node(node));
  }
  for (const Json& missing : member(json, "missing")) {
    if (!missing.is_object()) continue;
    RoundStatus::Missing& stage = status.missing.emplace_back();
    read(missing, "stage", stage.stage);
    read(missing, "replicas", stage.replicas);
  }
  const Json& ledger = member(json, "ledger");
  if (ledger.is_object()) {
    read(ledger, "origin", status.ledger_origin);
    read(ledger, "root", status.ledger_root);
    read(ledger, "size", status.ledger_size);
  }
  if (const Json& checkpoint = member(json, "checkpoint"); checkpoint.is_object())
    read(checkpoint, "step", status.checkpoint_step);
  if (const Json& ended = member(json, "ended"); ended.is_object() && !ended.empty()) {
    status.ended = RoundStatus::Ended{};
    read(ended, "reason", status.ended->reason);
    read(ended, "text", status.ended->text);
    read(ended, "resumable_step", status.ended->resumable_step);
  }
  return status;
}

}  // namespace coshard::node
