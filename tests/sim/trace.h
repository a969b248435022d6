// What a virtual round says of itself when COSHARD_SIM_TRACE is set: one line per message that
// repair is about.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <string>

#include "protocol/base/messages.h"

namespace coshard::simtest {

inline bool tracing() {
  static const bool wanted = std::getenv("COSHARD_SIM_TRACE") != nullptr;
  return wanted;
}

inline std::string name_of(const Hop& hop) {
  return hop.node == NodeId{} ? "-"
                              : hop.node.short_hex() + "/" + std::to_string(hop.attempt.value);
}

inline std::string name_of(const Unit& unit) {
  return std::to_string(unit.step.value) + "." + std::to_string(unit.microbatch.value) + "/" +
         std::to_string(unit.attempt.value) + " of stage " + std::to_string(unit.stage.value);
}

/// Empty for what is not traced.
struct Trace {
  std::string operator()(const ForwardTensor& m) const {
    return std::string(m.ordered ? "ordered " : "") + "forward " + name_of(m.unit);
  }
  std::string operator()(const BackwardTensor& m) const { return "backward " + name_of(m.unit); }
  std::string operator()(const SlotGrant& m) const {
    return "grants " + std::to_string(m.slots_total);
  }
  std::string operator()(const MembershipTable& m) const {
    std::string text = "table " + std::to_string(m.epoch.value) + ":";
    for (const auto& member : m.members)
      text += " " + member.node.short_hex() + (member.joining ? "(joins)" : "");
    return text;
  }
  std::string operator()(const StageClosed& m) const {
    return "closed stage " + std::to_string(m.stage.value) + "/" + std::to_string(m.attempt.value);
  }
  std::string operator()(const Holdings& m) const {
    std::string text =
        "holds of step " + std::to_string(m.step.value) + (m.lacks ? " (lacks)" : "");
    for (const auto& unit : m.units)
      text += "\n      " + std::to_string(unit.microbatch.value) + "/" +
              std::to_string(unit.attempt.value) + " progress " +
              std::to_string(static_cast<int>(unit.progress)) + (unit.counts ? "" : " passes") +
              (unit.has_gradient ? " has gradient" : "") + (unit.output_kept ? " output" : "") +
              (unit.gradient_kept ? " gradient" : "") + " from " + name_of(unit.from) + " to " +
              name_of(unit.to);
    return text;
  }
  std::string operator()(const RepairOrders& m) const {
    std::string text = "orders of epoch " + std::to_string(m.epoch.value);
    for (const auto& task : m.tasks)
      text += "\n      " + std::to_string(task.microbatch.value) + "/" +
              std::to_string(task.attempt.value) + " redo " +
              std::to_string(static_cast<int>(task.redo)) + " from " + name_of(task.from) + " to " +
              name_of(task.to) + (task.send_output ? " send output" : "") +
              (task.send_gradient ? " send gradient" : "");
    return text;
  }
  std::string operator()(const MicrobatchGrant& m) const {
    std::string text = "grant of step " + std::to_string(m.step.value) + ":";
    for (const auto& granted : m.microbatches)
      text += " " + std::to_string(granted.microbatch.value) + "/" +
              std::to_string(granted.attempt.value);
    return text;
  }
  template <class Other>
  std::string operator()(const Other&) const {
    return "";
  }
};

}  // namespace coshard::simtest
