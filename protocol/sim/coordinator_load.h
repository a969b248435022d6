// What a round asks of its coordinator: messages, bytes and processor time, measured on the real
// machine while it is simulated, and how many boxes would keep one core busy. Processor time comes
// from a clock that the caller hands in, sizes and the cost of sealing from a wire that it hands
// in; neither changes what happens in the simulation. One thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <variant>

#include "protocol/base/clock.h"
#include "protocol/base/messages.h"

namespace coshard::sim {

/// What a message costs beside what is decided about it.
struct MessageCost {
  std::uint64_t bytes = 0;
  double cpu_seconds = 0;
};

/// The wire as its caller knows it: what sealing and sending, or opening a message costs.
class Wire {
 public:
  virtual ~Wire() = default;
  virtual MessageCost sent(const Message& message) = 0;
  virtual MessageCost received(const Message& message) = 0;
};

/// Traffic in one direction.
struct Traffic {
  std::uint64_t messages = 0;
  double bytes = 0;
};

struct CoordinatorLoad {
  double seconds = 0;  ///< of virtual time
  Traffic in, out;
  double machine_seconds = 0;  ///< of the processor, in Coordinator::on
  double wire_seconds = 0;     ///< of the processor, for sealing and opening
  /// Of both: for telling everybody who the members are now.
  double table_seconds = 0;
  double table_bytes = 0;  ///< of one table

  double cores() const { return seconds > 0 ? (machine_seconds + wire_seconds) / seconds : 0; }
};

/// So many boxes, with the same round and the same habits, would keep one core busy. Messages grow
/// with the boxes; a table has a line for every box, goes to every box, and is sent as often as one
/// is lost: with the third power.
double boxes_of_one_core(const CoordinatorLoad& load, double boxes);

/// Watches the coordinator's side of a simulation.
class LoadMeter {
 public:
  /// `cpu`: processor time of this thread. Both outlive the meter.
  LoadMeter(const Clock& cpu, Wire& wire) : cpu_(cpu), wire_(wire) {}

  TimePoint cpu_now() const { return cpu_.now(); }
  /// The machine worked from `begin` until now; `losing`: because a member was lost.
  void worked_since(TimePoint begin, bool losing);
  void sent(const Message& message) { count(message, Direction::kOut); }
  void received(const Message& message) { count(message, Direction::kIn); }

  /// After `duration` of virtual time.
  CoordinatorLoad load(Duration duration) const;
  /// Forgets what was so far.
  void reset();

 private:
  enum class Direction : std::uint8_t { kIn = 0, kOut = 1 };
  /// Of one kind in one direction: the wire is asked about some of them.
  struct Sampled {
    std::uint64_t messages = 0, asked = 0;
    double bytes = 0, cpu_seconds = 0;  ///< of those that were asked about

    double scale() const {
      return asked == 0 ? 0 : static_cast<double>(messages) / static_cast<double>(asked);
    }
  };
  void count(const Message& message, Direction direction);

  const Clock& cpu_;
  Wire& wire_;
  Duration machine_{}, losing_{};
  std::array<std::array<Sampled, std::variant_size_v<Message>>, 2> kinds_{};
};

}  // namespace coshard::sim
