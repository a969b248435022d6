// See demo_disturbance.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/cli/demo_disturbance.h"

#include <charconv>

#include "protocol/base/limits.h"

namespace coshard::cli {
namespace {

/// Takes a whole number off the front of `text`; false when there is none.
template <class Integer>
bool take_number(std::string_view& text, Integer& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

bool take(std::string_view& text, char wanted) {
  if (text.empty() || text.front() != wanted) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

Result<Disturbance> parse_disturbance(Disturbance::Kind kind, std::string_view text) {
  Disturbance parsed{kind, 0, 0, 0};
  std::string_view rest = text;
  const bool whole = take_number(rest, parsed.stage) && take(rest, ':') &&
                     take_number(rest, parsed.replica) && take(rest, '@') &&
                     take_number(rest, parsed.step) && rest.empty();
  if (!whole)
    return fail(
        ErrorCode::kInvalidArgument,
        "expected STAGE:REPLICA@STEP, for example 1:0@20, found \"" + std::string(text) + "\"");
  return parsed;
}

Result<void> check_disturbance(const Disturbance& disturbance, std::uint32_t stages,
                               std::uint32_t replicas, std::uint64_t steps) {
  const auto refuse = [&](const std::string& expected) {
    return fail(ErrorCode::kInvalidArgument,
                "disturbance " + to_string(disturbance) + ": expected " + expected);
  };
  if (disturbance.stage >= stages) return refuse("a stage below " + std::to_string(stages));
  const bool joins = disturbance.kind == Disturbance::Kind::kJoin;
  if (joins) replicas = limits::kReplicasMax;
  if (disturbance.replica >= replicas) return refuse("a replica below " + std::to_string(replicas));
  if (disturbance.step >= steps) return refuse("a step before the last, " + std::to_string(steps));
  return {};
}

std::string to_string(const Disturbance& disturbance) {
  return std::to_string(disturbance.stage) + ":" + std::to_string(disturbance.replica) + "@" +
         std::to_string(disturbance.step);
}

}  // namespace coshard::cli
