// A coordinator's machine whose nodes say what a test makes them say. One thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "protocol/round/coordinator.h"
#include "tests/unit/round/round_nodes.h"

namespace coshard::round {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

/// A round of two stages of two replicas, nodes 0..3 as (stage, replica) 0.0 1.0 0.1 1.1, whose
/// nodes say what the test makes them say.
class CoordinatorTest : public testing::Test {
 protected:
  CoordinatorTest() {
    config.shape = {2, 2, 2, 16};
    config.steps = 10;
    config.ledger_epoch_steps = 5;
  }

  void open(std::vector<JournalRecord> history = {}) {
    machine.emplace(config, history);
    journal = std::move(history);
    take(machine->start(now));
  }
  /// Takes up a round whose nodes were all started anew.
  void open_anew(const std::vector<JournalRecord>& history) {
    open(history);
    for (std::uint32_t n = 0; n < 4; ++n) hear(n, JoinRequest{});
  }
  void open_training() {
    open();
    for (std::uint32_t n = 0; n < 4; ++n) hear(n, JoinRequest{});
    for (std::uint32_t n = 0; n < 4; ++n) hear(n, UpdateReport{StepId(0), StageIndex(n % 2), {}});
    ASSERT_EQ(machine->phase(), CoordinatorPhase::kTraining);
  }
  void hear(std::uint32_t from, Message message) {
    take(machine->on(Received{node(from), std::move(message), Bytes{1}}, now));
  }
  void happen(const CoordinatorEvent& event) { take(machine->on(event, now)); }
  void pass(Duration time) {
    for (const TimePoint until = now + time; now < until; now += 50ms) happen(Tick{});
  }
  void take(CoordinatorActions actions) {
    for (auto& action : actions) {
      if (const auto* record = std::get_if<Persist>(&action)) journal.push_back(record->record);
      said.push_back(std::move(action));
    }
  }
  /// Microbatch 0 by nodes 0 and 1, microbatch 1 by nodes 2 and 3.
  void do_units(std::uint64_t step) {
    for (std::uint32_t n = 0; n < 4; ++n) {
      if (n % 2 == 0) hear(n, MicrobatchPull{StepId(step), 1, 1});
      hear(n, UnitReport{StepId(step),
                         StageIndex(n % 2),
                         {{MicrobatchIndex(n / 2), Attempt(0), 16, n % 2 == 1 ? 2.5 : 0}}});
    }
  }
  void report_average(std::uint32_t n, std::uint64_t step, std::uint8_t hash = 1,
                      double squared_norm = 8) {
    hear(n, AverageReport{StepId(step), StageIndex(n % 2), Attempt(0), Hash{hash}, {squared_norm}});
  }
  void do_step(std::uint64_t step) {
    do_units(step);
    for (std::uint32_t n = 0; n < 4; ++n) report_average(n, step);
    for (std::uint32_t n = 0; n < 4; ++n) report_digest(n, step);
  }
  void report_digest(std::uint32_t n, std::uint64_t step, std::uint8_t digest = 1) {
    hear(n, UpdateReport{StepId(step), StageIndex(n % 2), {digest}});
  }
  /// The last message of type M that went to `to`, after forgetting what came before.
  template <class M>
  std::optional<M> last_to(std::uint32_t to) const {
    std::optional<M> found;
    for (const auto& action : said)
      if (const auto* send = std::get_if<Send>(&action); send != nullptr && send->to == node(to))
        if (const auto* message = std::get_if<M>(&send->message)) found = *message;
    return found;
  }
  template <class A>
  std::optional<A> last() const {
    std::optional<A> found;
    for (const auto& action : said)
      if (const auto* what = std::get_if<A>(&action)) found = *what;
    return found;
  }
  void expect_end(EndReason reason, std::initializer_list<std::string> words) {
    ASSERT_GE(machine->phase(), CoordinatorPhase::kEnding);
    std::optional<RoundEnd> end;
    for (std::uint32_t n = 0; n < 4; ++n)
      if (const auto heard = last_to<RoundEnd>(n)) end = heard;
    ASSERT_TRUE(end.has_value());
    EXPECT_EQ(end->reason, reason) << end->text;
    for (const auto& word : words)
      EXPECT_NE(end->text.find(word), std::string::npos) << end->text << " lacks " << word;
  }

  CoordinatorConfig config;
  std::optional<Coordinator> machine;
  std::vector<JournalRecord> journal;
  CoordinatorActions said;
  TimePoint now{};
};

}  // namespace coshard::round
