// Averaging among 1 to 5 replicas, in any order of arrival, against plain sums; with windows kept
// and early, late, repeated and foreign chunks.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/averaging.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "protocol/base/limits.h"
#include "protocol/base/rng.h"
#include "tests/unit/round/round_nodes.h"

namespace coshard::round {
namespace {

struct Chunk {
  std::uint32_t to, from;
  ChunkIndex chunk;
  bool averaged;
  std::int64_t value;
  double squared_norm;
};

/// Replicas that exchange chunks through one bag, from which chance draws.
class Exchange {
 public:
  Exchange(std::uint32_t replicas, std::vector<std::uint32_t> contributors, std::uint32_t chunks,
           std::uint64_t seed)
      : contributors_(std::move(contributors)), chunks_(chunks), rng_(seed) {
    closed_ = {StepId(1), StageIndex(0), Attempt(0), 48, {}, {}};
    for (std::uint32_t r = 0; r < replicas; ++r) {
      closed_.reducers.push_back(node(r));
      replicas_.emplace_back(StepId(1), StageIndex(0), Attempt(0), node(r), chunks);
      have_.emplace_back();
      parts_.emplace_back();
    }
    for (const auto c : contributors_) closed_.contributions.push_back({node(c), {}});
  }

  std::int64_t part(std::uint32_t replica, std::uint32_t chunk) const {
    return replica * 1000 + chunk * 7 + 1;
  }
  std::int64_t sum(std::uint32_t chunk) const {
    std::int64_t sum = 0;
    for (const auto c : contributors_) sum += part(c, chunk);
    return sum;
  }

  void run() {
    std::vector<std::uint32_t> unclosed;
    for (std::uint32_t r = 0; r < replicas_.size(); ++r) unclosed.push_back(r);
    while (!unclosed.empty() || !bag_.empty() || !reducing_.empty()) {
      const auto pick = rng_.below(unclosed.size() + bag_.size() + reducing_.size());
      if (pick < unclosed.size()) {
        const std::uint32_t r = unclosed[pick];
        unclosed.erase(unclosed.begin() + static_cast<std::ptrdiff_t>(pick));
        act(r, replicas_[r].close(closed_));
      } else if (pick < unclosed.size() + bag_.size()) {
        deliver(take(bag_, pick - unclosed.size()));
      } else {
        reduce(take(reducing_, pick - unclosed.size() - bag_.size()));
      }
    }
  }

  void expect_all_hold_the_sums() {
    for (std::uint32_t r = 0; r < replicas_.size(); ++r) {
      ASSERT_TRUE(replicas_[r].is_complete()) << "replica " << r;
      for (std::uint32_t c = 0; c < chunks_; ++c) {
        ASSERT_EQ(have_[r].at(c), sum(c)) << "replica " << r << " chunk " << c;
        ASSERT_EQ(replicas_[r].squared_norms()[c], static_cast<double>(sum(c)));
      }
    }
  }

 private:
  template <class T>
  static T take(std::vector<T>& from, std::size_t at) {
    std::swap(from[at], from.back());
    T taken = from.back();
    from.pop_back();
    return taken;
  }
  static std::uint32_t number(const NodeId& id) { return id.bytes[0] * 256U + id.bytes[1]; }

  void act(std::uint32_t r, const ParticipantActions& actions) {
    for (const auto& action : actions) {
      if (const auto* send = std::get_if<SendChunk>(&action)) {
        bag_.push_back({number(send->to), r, send->chunk, false, part(r, send->chunk.value), 0});
        ASSERT_EQ(&reducer_of(closed_, send->chunk), &closed_.reducers[number(send->to)]);
        auto& out = out_[{r, number(send->to)}];
        out.insert(send->chunk.value);
        ASSERT_LE(out.size(), limits::kAveragingWindow);
      } else if (const auto* reduction = std::get_if<ReduceChunk>(&action)) {
        ASSERT_EQ(reduction->tokens, 48U);
        ASSERT_EQ(reduction->contributors.size(), contributors_.size());
        reducing_.push_back({r, *reduction});
      } else if (const auto* average = std::get_if<SendAverage>(&action)) {
        ASSERT_EQ(average->to.size(), replicas_.size() - 1);
        for (const auto& to : average->to)
          bag_.push_back({number(to), r, average->chunk, true, have_[r].at(average->chunk.value),
                          average->squared_norm});
      }
    }
  }

  void deliver(const Chunk& chunk) {
    Averaging& replica = replicas_[chunk.to];
    for (int times = 0; times < 2; ++times) {  // everything comes twice
      const Arrival arrival =
          chunk.averaged
              ? replica.average_arrived(node(chunk.from), chunk.chunk, chunk.squared_norm)
              : replica.contribution_arrived(node(chunk.from), chunk.chunk);
      ASSERT_EQ(arrival, times == 0 ? Arrival::kAccepted : Arrival::kRepeated);
    }
    if (chunk.averaged) {
      have_[chunk.to][chunk.chunk.value] = chunk.value;
      out_[{chunk.to, chunk.from}].erase(chunk.chunk.value);
    } else {
      parts_[chunk.to][{chunk.from, chunk.chunk.value}] = chunk.value;
    }
    act(chunk.to, replica.advance());
  }

  void reduce(const std::pair<std::uint32_t, ReduceChunk>& job) {
    const auto& [r, reduction] = job;
    std::int64_t sum = 0;
    for (const auto& from : reduction.contributors)
      sum += number(from) == r ? part(r, reduction.chunk.value)
                               : parts_[r].at({number(from), reduction.chunk.value});
    have_[r][reduction.chunk.value] = sum;
    act(r, replicas_[r].reduced(reduction.chunk, static_cast<double>(sum)));
  }

  std::vector<std::uint32_t> contributors_;
  std::uint32_t chunks_;
  Rng rng_;
  StageClosed closed_;
  std::vector<Averaging> replicas_;
  std::vector<std::map<std::uint32_t, std::int64_t>> have_;
  std::vector<std::map<std::pair<std::uint32_t, std::uint32_t>, std::int64_t>> parts_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::set<std::uint32_t>> out_;
  std::vector<Chunk> bag_;
  std::vector<std::pair<std::uint32_t, ReduceChunk>> reducing_;
};

TEST(Averaging, EveryReplicaEndsWithTheSameSumsInAnyOrder) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rng rng(seed, 1);
    const auto replicas = 1 + static_cast<std::uint32_t>(rng.below(5));
    std::vector<std::uint32_t> contributors;
    for (std::uint32_t r = 0; r < replicas; ++r)
      if (rng.below(3) > 0) contributors.push_back(r);
    if (contributors.empty()) contributors.push_back(replicas - 1);
    const auto chunks = static_cast<std::uint32_t>(rng.below(seed % 10 == 0 ? 300 : 12));
    Exchange exchange(replicas, contributors, chunks, seed);
    exchange.run();
    exchange.expect_all_hold_the_sums();
    if (testing::Test::HasFailure()) return;
  }
}

StageClosed two_replicas() {
  return {StepId(1),         StageIndex(0), Attempt(0), 48, {{node(0), {}}, {node(1), {}}},
          {node(0), node(1)}};
}

TEST(Averaging, RefusesChunksThatAreNotTheirs) {
  Averaging averaging(StepId(1), StageIndex(0), Attempt(0), node(0), 4);
  averaging.close(two_replicas());
  EXPECT_EQ(averaging.contribution_arrived(node(1), ChunkIndex(4)), Arrival::kRefused);
  EXPECT_EQ(averaging.contribution_arrived(node(1), ChunkIndex(1)), Arrival::kRefused);  // not ours
  EXPECT_EQ(averaging.contribution_arrived(node(7), ChunkIndex(0)), Arrival::kRefused);
  EXPECT_EQ(averaging.average_arrived(node(1), ChunkIndex(0), 1), Arrival::kRefused);  // ours
  EXPECT_EQ(averaging.average_arrived(node(1), ChunkIndex(4), 1), Arrival::kRefused);
  EXPECT_EQ(averaging.average_arrived(node(1), ChunkIndex(3), 1), Arrival::kAccepted);
}

TEST(Averaging, AnEarlyAverageOfTheWrongReducerIsForgottenWhenTheBookCloses) {
  Averaging averaging(StepId(1), StageIndex(0), Attempt(0), node(0), 2);
  EXPECT_EQ(averaging.average_arrived(node(7), ChunkIndex(1), 5), Arrival::kAccepted);
  EXPECT_EQ(averaging.phase(), AveragingPhase::kCollecting);
  averaging.close(two_replicas());
  EXPECT_EQ(averaging.average_arrived(node(1), ChunkIndex(1), 6), Arrival::kAccepted);
}

TEST(Averaging, WhatIsMissingComesFromAHolderAndNothingIsExchangedAnyMore) {
  StageClosed closed{StepId(3),
                     StageIndex(1),
                     Attempt(0),
                     64,
                     {{node(0), {MicrobatchIndex(0)}}},
                     {node(0), node(1), node(2)}};
  Averaging averaging(StepId(3), StageIndex(1), Attempt(0), node(2), 6);
  EXPECT_EQ(averaging.average_arrived(node(0), ChunkIndex(0), 1), Arrival::kAccepted) << "early";
  closed.holders = {node(1)};
  averaging.fetch(closed);
  EXPECT_EQ(averaging.missing(3), (std::vector{ChunkIndex(1), ChunkIndex(2), ChunkIndex(3)}));
  for (std::uint32_t chunk = 0; chunk < 6; ++chunk)
    EXPECT_EQ(averaging.average_arrived(node(1), ChunkIndex(chunk), 1),
              chunk == 0 ? Arrival::kRepeated : Arrival::kAccepted);
  EXPECT_EQ(averaging.average_arrived(node(3), ChunkIndex(1), 1), Arrival::kRefused);
  EXPECT_TRUE(averaging.is_complete());
  EXPECT_TRUE(averaging.advance().empty());
}

}  // namespace
}  // namespace coshard::round
