// Members may lie about what they hold: whatever they say, a plan comes out, and nobody aborts.
// Seeds are printed on failure by the trace.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "protocol/base/rng.h"
#include "protocol/round/repair.h"
#include "protocol/round/step.h"
#include "tests/unit/round/round_nodes.h"

namespace coshard::round {
namespace {

class Liars {
 public:
  explicit Liars(std::uint64_t seed) : rng_(seed, 3) {
    shape_ = {1 + below(4), 1 + below(3), 1 + below(4), 16};
  }

  /// A book with some units done, some nodes lost, and answers that have nothing to do with either.
  void run() {
    StepBook book(StepId(1), shape_, {});
    for (std::uint32_t n = 0; n < nodes(); ++n) work_on(book, n);
    for (int round = 0; round < 3; ++round) {
      const StepFacts facts = facts_of(book);
      const RepairPlan plan = plan_step(facts);
      book.repair(plan);
      for (const auto& given : plan.counted)
        if (below(2) == 0)
          book.done(given.stage, given.node, {given.microbatch, given.attempt, 16, 0});
    }
  }

 private:
  std::uint32_t below(std::uint64_t bound) { return static_cast<std::uint32_t>(rng_.below(bound)); }
  std::uint32_t nodes() const { return shape_.stages * shape_.replicas; }
  StageIndex stage_of(std::uint32_t n) const { return StageIndex(n % shape_.stages); }
  MicrobatchIndex microbatch() { return MicrobatchIndex(below(shape_.microbatches)); }

  void work_on(StepBook& book, std::uint32_t n) {
    if (stage_of(n).value == 0) book.grant(node(n), below(4));
    for (std::uint32_t i = below(4); i > 0; --i)
      book.done(stage_of(n), node(n), {microbatch(), Attempt(0), 16, 0});
  }

  Hop hop() { return {node(below(nodes() + 1)), Attempt(below(3))}; }

  HeldUnit unit() {
    return {microbatch(),
            Attempt(below(3)),
            static_cast<UnitProgress>(below(8)),
            below(3) != 0,
            below(2) == 0,
            below(2) == 0,
            below(2) == 0,
            hop(),
            hop()};
  }

  StepFacts facts_of(const StepBook& book) {
    StepFacts facts;
    facts.step = StepId(1);
    facts.stages = shape_.stages;
    facts.microbatches = shape_.microbatches;
    facts.ordered = book.ordered();
    holdings_.clear();
    for (std::uint32_t n = 0; n < nodes(); ++n) {
      Holdings said{StepId(1), MembershipEpoch(1), stage_of(n), false, {}};
      for (std::uint32_t i = below(6); i > 0; --i) said.units.push_back(unit());
      holdings_.push_back(std::move(said));
    }
    for (std::uint32_t stage = 0; stage < shape_.stages; ++stage)
      for (std::uint32_t n = stage; n < nodes(); n += shape_.stages)
        if (n < shape_.stages || below(3) != 0)  // one replica of each stage lives
          facts.live.push_back({node(n), StageIndex(stage), &holdings_[n], 0, 0});
    for (std::uint32_t stage = 0; stage < shape_.stages; ++stage) {
      auto& row = facts.book.emplace_back();
      for (std::uint32_t m = 0; m < shape_.microbatches; ++m)
        row.push_back({book.is_done(StageIndex(stage), MicrobatchIndex(m)),
                       book.holder(StageIndex(stage), MicrobatchIndex(m))});
    }
    for (std::uint32_t m = 0; m < shape_.microbatches; ++m) {
      facts.granted.push_back(book.holder(StageIndex(0), MicrobatchIndex(m)));
      facts.attempts.push_back(book.attempt(MicrobatchIndex(m)));
    }
    return facts;
  }

  Rng rng_;
  RoundShape shape_;
  std::vector<Holdings> holdings_;
};

TEST(PlanStep, NoLieMakesItAbort) {
  for (std::uint64_t seed = 1; seed <= 20'000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Liars(seed).run();
  }
}

}  // namespace
}  // namespace coshard::round
