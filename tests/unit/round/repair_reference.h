// The reference for repairs: brute force over everything that could be done about one microbatch.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "protocol/round/repair.h"

namespace coshard::round {

constexpr std::size_t kStagesMax = 4;
using Path = std::vector<StageFacts>;
using Plan = std::vector<StageRepair>;

constexpr std::array kRedos{Redo::kNothing, Redo::kForward, Redo::kPass, Redo::kCount};

/// A forward costs one, a backward two.
inline int cost(Redo redo) { return redo == Redo::kNothing ? 0 : redo == Redo::kForward ? 1 : 3; }

inline int cost(const Plan& plan) {
  int sum = 0;
  for (const auto& stage : plan) sum += cost(stage.redo);
  return sum;
}

inline std::string show(const Path& path, const Plan& plan) {
  std::ostringstream out;
  for (std::size_t i = 0; i < path.size(); ++i) {
    const StageFacts& f = path[i];
    out << "\n  stage " << i << ": "
        << (std::array{"nobody", "held", "counted"})[std::size_t(f.fate)]
        << (f.has_input ? " input" : "") << (f.has_output ? " output" : "")
        << (f.has_gradient ? " gradient" : "") << (f.routes_itself ? " routes" : "")
        << (f.output_kept ? " output-kept" : "") << (f.gradient_kept ? " gradient-kept" : "")
        << " -> " << (std::array{"nothing", "forward", "pass", "count"})[std::size_t(plan[i].redo)]
        << (plan[i].send_output ? " send-output" : "")
        << (plan[i].send_gradient ? " send-gradient" : "");
  }
  return out.str();
}

// ---- the reference: what data flows if a plan is followed ---------------------------------------

inline std::size_t begun(const Path& path) {
  std::size_t begun = 0;
  for (std::size_t i = 0; i < path.size(); ++i)
    if (path[i].fate != UnitFate::kNobody) begun = i + 1;
  return begun;
}

inline bool goes_on_by_itself(const Path& path, std::size_t begun) {
  return path[begun - 1].fate == UnitFate::kHeld && path[begun - 1].routes_itself;
}

/// Every stage that has to be is counted once: nobody's unit again, others never.
inline bool counts_each_once(const Path& path, const Plan& plan) {
  const std::size_t last = begun(path);
  for (std::size_t i = 0; i < path.size(); ++i) {
    bool again = i < last && path[i].fate == UnitFate::kNobody;
    again |= i == last && last > 0 && !goes_on_by_itself(path, last);
    if (again != (plan[i].redo == Redo::kCount)) return false;
    if (i > last && !(plan[i] == StageRepair{})) return false;
  }
  return true;
}

/// What one stage can lay hands on while the plan runs.
struct Data {
  bool input_new = false;   ///< of whoever redoes the stage
  bool input_held = false;  ///< of the held unit
  bool gradient_new = false;
  bool gradient_held = false;
  bool output = false;          ///< someone can send it
  bool input_gradient = false;  ///< likewise
  bool operator==(const Data&) const = default;
};

using PathData = std::array<Data, kStagesMax>;

/// One round of deliveries.
inline PathData deliver(const Path& path, const Plan& plan, const PathData& before) {
  const std::size_t last = begun(path);
  const bool by_itself = goes_on_by_itself(path, last);
  PathData after;
  for (std::size_t i = 0; i < path.size(); ++i) {
    const StageFacts& facts = path[i];
    const bool held = facts.fate == UnitFate::kHeld;
    const bool input = i == 0 || (before[i - 1].output && plan[i - 1].send_output);
    bool gradient = i + 1 == path.size();
    if (!gradient) gradient = before[i + 1].input_gradient && plan[i + 1].send_gradient;
    // Behind the last stage that anybody has, whoever is chosen on the way sends back.
    const bool on_the_way = i + 1 == last ? by_itself : i == last;
    gradient |= on_the_way;
    Data& data = after[i];
    data.input_new = plan[i].redo != Redo::kNothing && input;
    data.input_held = held && (facts.has_input || input);
    data.gradient_new = plan[i].redo >= Redo::kPass && gradient;
    data.gradient_held = held && (facts.has_gradient || gradient);
    const bool held_makes = data.input_held && !facts.has_output;
    data.output = facts.output_kept || data.input_new || held_makes;
    data.input_gradient = facts.gradient_kept || (data.input_new && data.gradient_new) ||
                          (data.input_held && data.gradient_held);
  }
  return after;
}

/// Followed to its end, the plan leaves every stage counted once and nobody waiting.
inline bool feasible(const Path& path, const Plan& plan) {
  if (begun(path) == 0) return plan == Plan(path.size());
  if (!counts_each_once(path, plan)) return false;
  PathData data;
  for (auto next = deliver(path, plan, data); next != data; next = deliver(path, plan, data))
    data = next;
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (plan[i].redo != Redo::kNothing && !data[i].input_new) return false;
    if (plan[i].redo >= Redo::kPass && !data[i].gradient_new) return false;
    if (path[i].fate == UnitFate::kHeld && !(data[i].input_held && data[i].gradient_held))
      return false;
  }
  return true;
}

/// The least cost over all assignments of redos, with everything sent that can be.
inline int least_cost(const Path& path) {
  const std::size_t last = begun(path);
  if (last == 0) return 0;
  std::size_t all = 1;
  for (std::size_t i = 0; i < path.size(); ++i) all *= kRedos.size();
  Plan plan(path.size());
  int least = -1;
  for (std::size_t code = 0; code < all; ++code) {
    std::size_t rest = code;
    for (std::size_t i = 0; i < plan.size(); ++i, rest /= kRedos.size())
      plan[i] = {kRedos[rest % kRedos.size()], i <= last, i <= last};
    if (least >= 0 && cost(plan) >= least) continue;
    if (feasible(path, plan)) least = cost(plan);
  }
  return least;
}

/// A fixed order for sets of facts.
inline std::vector<unsigned> code_of(const Path& path) {
  std::vector<unsigned> code;
  for (const StageFacts& f : path)
    code.push_back(unsigned(f.fate) << 6 | unsigned(f.has_input) << 5 |
                   unsigned(f.has_output) << 4 | unsigned(f.has_gradient) << 3 |
                   unsigned(f.routes_itself) << 2 | unsigned(f.output_kept) << 1 |
                   unsigned(f.gradient_kept));
  return code;
}

/// From COSHARD_REPAIR_CASES, for runs longer than the usual.
inline std::uint64_t wanted_cases(std::uint64_t usual) {
  const char* text = std::getenv("COSHARD_REPAIR_CASES");
  return text == nullptr ? usual : std::strtoull(text, nullptr, 10);
}

}  // namespace coshard::round
