// A model of a step's nodes and their coordinator, for tests of its repair: units move along, nodes
// are lost, tensors are evicted, words and orders come late. It knows plan_step's contract and none
// of the real machines.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "protocol/base/rng.h"
#include "protocol/round/repair.h"
#include "tests/unit/round/repair_reference.h"

namespace coshard::round {

struct ModelCounts {
  std::uint64_t losses = 0, evictions = 0, reliefs = 0, plans = 0, redone = 0;
  std::uint64_t unclear = 0;  ///< plans that left something out, and were made again
  std::uint64_t exact = 0;    ///< plans whose least cost is known exactly
  void add(const ModelCounts& other);
};

/// A microbatch and an attempt: one unit of a stage.
using Key = std::pair<MicrobatchIndex, Attempt>;

struct ModelUnit {
  HeldUnit held;
  Redo redo = Redo::kCount;
  bool directed = false;      ///< has its next hop by order
  bool sends_output = false;  ///< directed: as soon as it is there
  bool reported = false;
};

/// A tensor on the wire, or one that came before its order.
struct Flying {
  bool forward = true;
  bool ordered = false;
  std::size_t from = 0, to = 0;  ///< nodes
  Key unit;                      ///< of the receiver
  Key maker;                     ///< of the sender
};

struct ModelNode {
  NodeId id;
  std::uint32_t stage = 0;
  bool alive = true;
  double rate = 0;
  std::uint64_t epoch = 0;    ///< of the newest table that it has heard and answered
  std::vector<bool> members;  ///< by that table
  std::map<Key, ModelUnit> units;
  std::vector<Flying> offers;
  Holdings holdings;
  std::optional<std::vector<RepairTask>> orders;  ///< on their way
};

class RepairModel {
 public:
  /// `tells`: keeps a story of what happened.
  explicit RepairModel(std::uint64_t seed, bool tells = false);
  /// Lets things happen, with losses; returns what is wrong, or nothing.
  std::string run();
  const ModelCounts& counts() const { return counts_; }
  const std::string& story() const { return story_; }

 private:
  enum class What { kDeliver, kWork, kReport, kAverage, kHear, kObey, kPlan, kGrant, kGranted };
  struct Choice {
    What what;
    std::size_t index = 0;  ///< node, message, stage or microbatch
    Key unit = {};
  };
  struct Booked {
    std::optional<NodeId> assigned, reporter;
  };

  std::vector<Choice> choices() const;
  void choices_of_coordinator(std::vector<Choice>& choices) const;
  void happen(const Choice& choice);

  // Nodes.
  bool is_last(std::size_t n) const { return nodes_[n].stage + 1 == stages_; }
  std::size_t find(const NodeId& id) const;
  void work(std::size_t n, const Key& key);
  void computed(std::size_t n, const Key& key, ModelUnit& unit);
  void route(std::size_t n, const Key& key, ModelUnit& unit);
  void output_sent(ModelUnit& unit);
  void send(std::size_t n, const Key& key, const ModelUnit& unit, bool forward, bool ordered);
  void deliver(std::size_t which);
  void forward_arrived(const Flying& tensor);
  void backward_arrived(const Flying& tensor);
  void hear(std::size_t n);
  void obey(std::size_t n);
  void redo(std::size_t n, const RepairTask& task);
  void keep(std::size_t n, const RepairTask& task);
  bool was_offered(std::size_t n, const Key& key, bool forward) const;

  // Misfortunes and the coordinator.
  void lose_one();
  void evict_one();
  void relieve_one();
  void new_epoch();
  void report(std::size_t n, const Key& key);
  void average(std::uint32_t stage);
  void grant(std::size_t m);
  void granted(std::size_t m);
  StepFacts facts() const;
  void plan();
  void check_tasks(const RepairPlan& plan);
  void check_cost(const RepairPlan& plan);
  bool begins_again(std::uint32_t m) const;
  Path truth(std::uint32_t m, bool with_passes) const;
  void truth_of(std::uint32_t stage, std::uint32_t m, bool with_passes, StageFacts& facts) const;

  void fault(const std::string& text) {
    if (fault_.empty()) fault_ = text;
  }
  void say(const std::string& text) { story_ += "  " + text + "\n"; }
  std::string name(std::size_t n, const Key& key) const;

  Rng rng_;
  bool tells_;
  std::uint32_t stages_;
  bool at_once_;  ///< everybody answers and obeys in the instant of a loss
  std::uint32_t losses_left_, evictions_left_, reliefs_left_;
  std::vector<ModelNode> nodes_;
  std::vector<Flying> wire_;
  std::vector<std::vector<Booked>> book_;  ///< [stage][microbatch]
  std::vector<bool> averaged_;
  std::vector<bool> grant_heard_;
  std::vector<Attempt> attempts_;
  OrderedUnits ordered_;
  std::uint64_t epoch_ = 0;
  bool surveying_ = false;
  bool ask_again_ = false;  ///< something was gone that an order wanted sent, or a plan was unclear
  ModelCounts counts_;
  std::string fault_, story_;
};

}  // namespace coshard::round
