// A bad link between real processes: a TCP proxy on loopback that delays, throttles, damages,
// silences or cuts what passes, each direction on its own, where the kernel's netem is not to be
// had. It sits above TCP: bytes are late or do not come, but never overtake each other and are
// never left out; what packets suffer below shows as exactly that (lossy()). A black hole is
// silence both ways: connections stay, and new ones are taken by the kernel and not answered.
// Calls come from one thread; the proxy has a thread of its own, which polls.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <thread>

#include "protocol/base/clock.h"
#include "protocol/base/rng.h"

namespace coshard::test {

/// What a link does to the bytes that go one way. A piece is what one read returns: on loopback
/// what the sender wrote at once, which is a message or several small ones.
struct LinkFaults {
  std::chrono::milliseconds delay{0};    ///< of every piece
  std::chrono::milliseconds jitter{0};   ///< more delay, uniform from 0 to this
  double late_share = 0;                 ///< of the pieces
  std::chrono::milliseconds late_by{0};  ///< by which they are late, and what is behind them too
  std::uint64_t bytes_per_second = 0;    ///< 0: as fast as it goes
  double damaged_share = 0;              ///< of the pieces; one bit of each is flipped
  std::size_t cut_over = 0;              ///< a longer piece passes by half, then all is reset
  std::size_t torn_over = 0;             ///< a longer piece passes by half, then nothing more
  bool silent = false;                   ///< nothing passes, not even that an end is closed
};

/// Packet loss as it is seen above TCP: a share of the pieces waits for a retransmission, 200 ms
/// (the least that Linux waits), and everything behind it waits along.
constexpr LinkFaults lossy(double share) {
  return {.late_share = share, .late_by = std::chrono::milliseconds(200)};
}

/// When the pieces of one direction leave: pure, fed with time and chance.
class LinkSchedule {
 public:
  explicit LinkSchedule(Rng chance) : chance_(chance) {}
  struct Departure {
    TimePoint at;
    bool late = false;
  };
  /// Of a piece of `bytes` that comes `now`: never before the piece before it.
  Departure departure(std::size_t bytes, const LinkFaults& faults, TimePoint now);
  /// Damages the piece if its turn has come; says whether.
  bool damage(std::span<std::uint8_t> piece, const LinkFaults& faults);

 private:
  Rng chance_;
  TimePoint line_free_{};
  TimePoint last_{};
};

/// Two directions: from who dialled to who listens, and back.
enum class Toward : std::uint8_t { kListener, kDialler };

class FaultProxy {
 public:
  /// Listens on a port of the kernel's and dials `target_port` of loopback for each connection.
  FaultProxy(std::uint16_t target_port, std::uint64_t seed);
  ~FaultProxy();
  FaultProxy(const FaultProxy&) = delete;
  FaultProxy& operator=(const FaultProxy&) = delete;

  std::uint16_t port() const;
  /// From now on, for connections that are open and that will be.
  void set(Toward way, const LinkFaults& faults);
  void set_both(const LinkFaults& faults);
  /// Ends every open connection by RST, both ends.
  void reset();

  struct Counters {
    std::array<std::uint64_t, 2> bytes{};  ///< passed on, by Toward
    std::uint64_t connections = 0, late = 0, damaged = 0, cut = 0, torn = 0;
  };
  Counters counters() const;
  /// Evaluates `condition` now and after every change; its last answer when the time is over.
  bool wait_until(const std::function<bool(const Counters&)>& condition,
                  std::chrono::milliseconds limit) const;

 private:
  class Loop;
  std::unique_ptr<Loop> loop_;
};

/// A port that stays ours until a program that we start binds it: bound here, never listened on, so
/// that nobody else is given it, and with SO_REUSEADDR, which lets the program in.
class ReservedPort {
 public:
  ReservedPort();
  ~ReservedPort();
  ReservedPort(const ReservedPort&) = delete;
  std::uint16_t number() const { return number_; }

 private:
  int fd_;
  std::uint16_t number_;
};

}  // namespace coshard::test
