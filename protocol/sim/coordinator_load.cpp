// See coordinator_load.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/sim/coordinator_load.h"

namespace coshard::sim {
namespace {

/// Sealing costs more than deciding: the wire is asked about the first messages of a kind, and then
/// about one in so many.
constexpr std::uint64_t kAskedFirst = 32;
constexpr std::uint64_t kAskedOnceIn = 512;

std::size_t kind_of(const Message& message) { return message.index(); }
const std::size_t kTable = kind_of(MembershipTable{});

}  // namespace

void LoadMeter::worked_since(TimePoint begin, bool losing) {
  const Duration took = cpu_.now() - begin;
  machine_ += took;
  if (losing) losing_ += took;
}

void LoadMeter::count(const Message& message, Direction direction) {
  Sampled& kind = kinds_[static_cast<std::size_t>(direction)][kind_of(message)];
  const std::uint64_t before = kind.messages++;
  if (before >= kAskedFirst && before % kAskedOnceIn != 0) return;
  const MessageCost cost =
      direction == Direction::kOut ? wire_.sent(message) : wire_.received(message);
  ++kind.asked;
  kind.bytes += static_cast<double>(cost.bytes);
  kind.cpu_seconds += cost.cpu_seconds;
}

void LoadMeter::reset() {
  machine_ = losing_ = Duration{};
  kinds_ = {};
}

CoordinatorLoad LoadMeter::load(Duration duration) const {
  CoordinatorLoad load;
  load.seconds = seconds(duration);
  load.machine_seconds = seconds(machine_);
  for (std::size_t direction = 0; direction < kinds_.size(); ++direction)
    for (const Sampled& kind : kinds_[direction]) {
      Traffic& traffic = direction == 0 ? load.in : load.out;
      traffic.messages += kind.messages;
      traffic.bytes += kind.bytes * kind.scale();
      load.wire_seconds += kind.cpu_seconds * kind.scale();
    }
  const Sampled& tables = kinds_[static_cast<std::size_t>(Direction::kOut)][kTable];
  load.table_seconds = seconds(losing_) + tables.cpu_seconds * tables.scale();
  load.table_bytes = tables.asked == 0 ? 0 : tables.bytes / static_cast<double>(tables.asked);
  return load;
}

double boxes_of_one_core(const CoordinatorLoad& load, double boxes) {
  const double tables = load.table_seconds / load.seconds;
  const double others = load.cores() - tables;
  // others * x + tables * x^3 = 1, which has one root: the left side grows with x.
  double low = 0, high = 1;
  const auto cores = [&](double x) { return others * x + tables * x * x * x; };
  while (cores(high) < 1 && high < 1e9) high *= 2;
  for (int i = 0; i < 100; ++i) (cores((low + high) / 2) < 1 ? low : high) = (low + high) / 2;
  return boxes * low;
}

}  // namespace coshard::sim
