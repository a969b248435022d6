// SPDX-License-Identifier: Apache-2.0
#include "ledger/units_file.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "crypto/hash.h"
#include "ledger/merkle.h"
#include "protocol/base/limits.h"

namespace coshard::ledger {
namespace {

/// A unit and who did it.
template <class Node>
struct UnitBy {
  StepId step;
  StageIndex stage;
  MicrobatchIndex microbatch;
  Attempt attempt;
  Node node{};
  bool repair = false;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.step);
    codec(2, self.stage);
    codec(3, self.microbatch);
    codec(4, self.attempt);
    codec(5, self.node);
    codec(6, self.repair);
  }
};
/// One leaf of the tree under EpochClose.units_root.
using UnitLeaf = UnitBy<NodeId>;
/// The same in the file, with the node as a place in the file's list of nodes.
using UnitRow = UnitBy<std::uint32_t>;

struct NodeRow {
  NodeId node;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.node);
  }
};

struct UnitsFile {
  std::uint32_t version = 1;
  LedgerEpoch epoch;
  StepId first_step;
  StepId last_step;
  std::vector<NodeRow> nodes;  // ascending
  std::vector<EpochMember> members;
  std::vector<StageDigest> digests;
  std::vector<UnitRow> units;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.version);
    codec(2, self.epoch);
    codec(3, self.first_step);
    codec(4, self.last_step);
    codec(5, self.nodes);
    codec(6, self.members);
    codec(7, self.digests);
    codec(8, self.units);
  }
};

auto unit_key(const CommittedUnit& one) {
  return std::tuple(one.unit.step, one.unit.stage, one.unit.microbatch, one.unit.attempt);
}
auto digest_key(const StageDigest& one) { return std::tuple(one.step, one.stage); }
auto member_key(const EpochMember& one) { return std::tuple(one.stage, one.node, one.incarnation); }

template <class T, class Key>
bool strictly_ascending(const std::vector<T>& items, Key key) {
  return std::adjacent_find(items.begin(), items.end(), [&](const T& a, const T& b) {
           return !(key(a) < key(b));
         }) == items.end();
}

template <class T, class Key>
void sort_by(std::vector<T>& items, Key key) {
  std::sort(items.begin(), items.end(), [&](const T& a, const T& b) { return key(a) < key(b); });
}

void sort_summary(EpochSummary& summary) {
  sort_by(summary.units, unit_key);
  sort_by(summary.digests, digest_key);
  sort_by(summary.members, member_key);
}

std::string place(const Unit& unit) {
  return "step " + std::to_string(unit.step.value) + ", stage " + std::to_string(unit.stage.value) +
         ", microbatch " + std::to_string(unit.microbatch.value) + ", attempt " +
         std::to_string(unit.attempt.value);
}

Result<void> refuse(const std::string& why) {
  return fail(ErrorCode::kInvalidArgument, "epoch summary: " + why);
}

/// Units sorted and inside the epoch and the model; each (step, stage, microbatch) counted once.
Result<void> check_units(const Genesis& genesis, const EpochSummary& summary) {
  if (!strictly_ascending(summary.units, unit_key)) return refuse("a unit occurs twice");
  std::uint64_t counted = 0;
  const Unit* previous = nullptr;
  for (const CommittedUnit& one : summary.units) {
    const Unit& unit = one.unit;
    if (unit.step < summary.first_step || unit.step > summary.last_step ||
        unit.stage.value >= genesis.stages() || unit.microbatch.value >= genesis.microbatches) {
      return refuse(place(unit) + " is outside the epoch or the model");
    }
    if (one.repair) continue;
    if (previous != nullptr && std::tuple(previous->step, previous->stage, previous->microbatch) ==
                                   std::tuple(unit.step, unit.stage, unit.microbatch)) {
      return refuse(place(unit) + " is counted a second time");
    }
    previous = &unit;
    ++counted;
  }
  const std::uint64_t steps = summary.last_step.value - summary.first_step.value + 1;
  const std::uint64_t expected = steps * genesis.stages() * genesis.microbatches;
  if (counted == expected) return {};
  return refuse(std::to_string(expected) + " counted units were expected, found " +
                std::to_string(counted));
}

Result<void> check_digests(const Genesis& genesis, const EpochSummary& summary) {
  if (!strictly_ascending(summary.digests, digest_key)) return refuse("a digest occurs twice");
  if (!strictly_ascending(summary.members, member_key)) return refuse("a member occurs twice");
  for (const StageDigest& one : summary.digests) {
    if (one.step < summary.first_step || one.step > summary.last_step ||
        one.stage.value >= genesis.stages()) {
      return refuse("a digest is outside the epoch or the model");
    }
  }
  return {};
}

std::vector<NodeTotal> total_up(const Genesis& genesis, const EpochSummary& summary) {
  std::map<std::pair<StageIndex, NodeId>, NodeTotal> totals;
  for (const CommittedUnit& one : summary.units) {
    NodeTotal& total = totals[{one.unit.stage, one.node}];
    (one.repair ? total.repairs : total.units) += 1;
    total.tokens += genesis.tokens_per_microbatch;
  }
  std::vector<NodeTotal> out;
  for (auto& [key, total] : totals) {
    total.stage = key.first;
    total.node = key.second;
    out.push_back(total);
  }
  return out;
}

}  // namespace

Bytes encode_units_file(EpochSummary summary) {
  sort_summary(summary);
  std::map<NodeId, std::uint32_t> places;
  for (const CommittedUnit& one : summary.units) places.emplace(one.node, 0);
  UnitsFile file;
  file.epoch = summary.epoch;
  file.first_step = summary.first_step;
  file.last_step = summary.last_step;
  for (auto& [node, at] : places) {
    at = static_cast<std::uint32_t>(file.nodes.size());
    file.nodes.push_back({node});
  }
  file.members = std::move(summary.members);
  file.digests = std::move(summary.digests);
  file.units.reserve(summary.units.size());
  for (const CommittedUnit& one : summary.units) {
    file.units.push_back({one.unit.step, one.unit.stage, one.unit.microbatch, one.unit.attempt,
                          places.at(one.node), one.repair});
  }
  return encode(file);
}

Result<EpochSummary> decode_units_file(ByteView bytes) {
  if (bytes.size() > limits::kUnitsFileBytesMax) return tl::unexpected(refuse("too long").error());
  COSHARD_ASSIGN(UnitsFile file, decode<UnitsFile>(bytes));
  EpochSummary out;
  out.epoch = file.epoch;
  out.first_step = file.first_step;
  out.last_step = file.last_step;
  out.members = std::move(file.members);
  out.digests = std::move(file.digests);
  for (const UnitRow& row : file.units) {
    if (row.node >= file.nodes.size()) {
      return fail(ErrorCode::kInvalidArgument, "units file names a node that it does not list");
    }
    out.units.push_back({Unit{row.step, row.microbatch, row.stage, row.attempt},
                         file.nodes[row.node].node, row.repair});
  }
  // One value, one file: order, unused nodes and the version are settled by writing it again.
  if (encode_units_file(out) != to_bytes(bytes)) {
    return fail(ErrorCode::kInvalidArgument, "non_canonical units file");
  }
  return out;
}

Result<EpochClose> close_of(const Genesis& genesis, const EpochSummary& summary) {
  if (summary.first_step.value == 0 || summary.last_step < summary.first_step ||
      summary.last_step.value > genesis.total_steps) {
    return tl::unexpected(refuse("its steps are not a range of the round").error());
  }
  EpochSummary sorted = summary;
  sort_summary(sorted);
  COSHARD_TRY(check_units(genesis, sorted));
  COSHARD_TRY(check_digests(genesis, sorted));
  CompactTree tree;
  for (const CommittedUnit& one : sorted.units) {
    tree.append(leaf_hash(encode(UnitLeaf{one.unit.step, one.unit.stage, one.unit.microbatch,
                                          one.unit.attempt, one.node, one.repair})));
  }
  const std::uint64_t steps = summary.last_step.value - summary.first_step.value + 1;
  EpochClose close;
  close.epoch = summary.epoch;
  close.first_step = summary.first_step;
  close.last_step = summary.last_step;
  close.units_root = tree.root();
  close.units_count = tree.size();
  close.units_file = crypto::sha256(encode_units_file(sorted));
  close.tokens = steps * genesis.microbatches * genesis.tokens_per_microbatch;
  close.totals = total_up(genesis, sorted);
  return close;
}

Result<void> verify_units_file(const Genesis& genesis, const EpochClose& close, ByteView bytes) {
  if (crypto::sha256(bytes) != close.units_file) {
    return fail(ErrorCode::kCorruption, "does not have the hash that its epoch_close entry names");
  }
  COSHARD_ASSIGN(const EpochSummary summary, decode_units_file(bytes));
  COSHARD_ASSIGN(const EpochClose again, close_of(genesis, summary));
  if (again != close) {
    return fail(ErrorCode::kCorruption, "its units do not add up to its epoch_close entry");
  }
  return {};
}

}  // namespace coshard::ledger
