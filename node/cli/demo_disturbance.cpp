// See demo_disturbance.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/cli/demo_disturbance.h"

#include <algorithm>
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

bool take(std::string_view& text, std::string_view wanted) {
  if (!text.starts_with(wanted)) return false;
  text.remove_prefix(wanted.size());
  return true;
}

constexpr std::string_view kCoordinator = "coordinator";

}  // namespace

Result<Disturbance> parse_disturbance(Disturbance::Kind kind, std::string_view text) {
  Disturbance parsed{kind, std::nullopt, 0};
  std::string_view rest = text;
  const bool joins = kind == Disturbance::Kind::kJoin;
  bool whole = !joins && take(rest, kCoordinator);
  if (!whole) {
    DemoSeat& seat = parsed.seat.emplace();
    whole = take_number(rest, seat.stage) && take(rest, ":") && take_number(rest, seat.replica);
  }
  if (whole && take(rest, "@") && take_number(rest, parsed.step) && rest.empty()) return parsed;
  return fail(ErrorCode::kInvalidArgument,
              std::string("expected STAGE:REPLICA@STEP, for example 1:0@20, ") +
                  (joins ? "" : "or coordinator@STEP, ") + "found \"" + std::string(text) + "\"");
}

Result<void> check_disturbance(const Disturbance& disturbance, const DemoShape& shape) {
  const auto refuse = [&](const std::string& expected) {
    return fail(ErrorCode::kInvalidArgument,
                "disturbance " + to_string(disturbance) + ": expected " + expected);
  };
  const bool joins = disturbance.kind == Disturbance::Kind::kJoin;
  const std::uint32_t replicas =
      std::min(shape.replicas + (joins ? shape.joins : 0), limits::kReplicasMax);
  if (const auto& seat = disturbance.seat) {
    if (seat->stage >= shape.stages) return refuse("a stage below " + std::to_string(shape.stages));
    if (seat->replica >= replicas)
      return refuse("a replica below " + std::to_string(replicas) +
                    (joins ? ", since nobody comes for the seats before it" : ""));
  }
  if (disturbance.step >= shape.steps)
    return refuse("a step before the last, " + std::to_string(shape.steps));
  return {};
}

std::string to_string(const Disturbance& disturbance) {
  const auto& seat = disturbance.seat;
  const std::string whom = seat ? std::to_string(seat->stage) + ":" + std::to_string(seat->replica)
                                : std::string(kCoordinator);
  return whom + "@" + std::to_string(disturbance.step);
}

}  // namespace coshard::cli
