// The two transports behind one face, so that one suite runs on both: how to make one, and how to
// let the world go on until something is true. No sleeping: the loop turns, or virtual time moves.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "crypto/identity.h"
#include "protocol/transport/mem_transport.h"
#include "protocol/transport/zmq_transport.h"

namespace coshard::transport::testing {

struct BedOptions {
  Admission admission = Admission::kAllowList;
  std::size_t payload_bytes_max = limits::kPayloadBytesMax;
  std::size_t bytes_in_flight_max = limits::kBytesInFlightMax;
};

/// One implementation and its world.
class Bed {
 public:
  virtual ~Bed() = default;
  /// `endpoint`: empty for a new one, else that of a transport that is gone.
  virtual std::unique_ptr<Transport> make(const crypto::Identity& identity,
                                          const BedOptions& options,
                                          const std::string& endpoint) = 0;
  /// Lets things happen until `done`; false when nothing more comes of it.
  virtual bool run_until(const std::function<bool()>& done) = 0;
  /// Lets everything happen that is under way.
  virtual void settle() = 0;
};

class ZmqBed final : public Bed {
 public:
  std::unique_ptr<Transport> make(const crypto::Identity& identity, const BedOptions& options,
                                  const std::string& endpoint) override {
    ZmqOptions zmq;
    zmq.listen = endpoint.empty() ? "tcp://127.0.0.1:*" : endpoint;
    zmq.admission = options.admission;
    zmq.payload_bytes_max = options.payload_bytes_max;
    zmq.bytes_in_flight_max = options.bytes_in_flight_max;
    auto transport = make_zmq_transport(reactor_, identity, zmq);
    if (!transport) {
      ADD_FAILURE() << transport.error().message;
      return nullptr;
    }
    return std::move(*transport);
  }
  bool run_until(const std::function<bool()>& done) override {
    const TimePoint deadline = clock_.now() + std::chrono::seconds(20);
    while (!done()) {
      if (clock_.now() > deadline) return false;
      reactor_.run_once(std::chrono::milliseconds(50));
    }
    return true;
  }
  // Real sockets never say that nothing is under way: the loop turns until it was idle for a while.
  void settle() override {
    TimePoint quiet_until = clock_.now() + kQuiet;
    while (clock_.now() < quiet_until) {
      if (reactor_.run_once(std::chrono::milliseconds(10))) quiet_until = clock_.now() + kQuiet;
    }
  }
  Reactor& reactor() { return reactor_; }

 private:
  static constexpr std::chrono::milliseconds kQuiet{60};
  SystemClock clock_;
  Reactor reactor_{clock_};
};

class MemBed final : public Bed {
 public:
  explicit MemBed(MemLinkOptions options = {}, std::uint64_t seed = 1)
      : network_(clock_, seed, options) {}
  std::unique_ptr<Transport> make(const crypto::Identity& identity, const BedOptions& options,
                                  const std::string& endpoint) override {
    const std::string at = endpoint.empty() ? "mem://" + std::to_string(++made_) : endpoint;
    auto transport = network_.attach(
        {identity.node(), identity.curve().public_key()}, at,
        {options.admission, options.payload_bytes_max, options.bytes_in_flight_max});
    if (!transport) {
      ADD_FAILURE() << transport.error().message;
      return nullptr;
    }
    return std::move(*transport);
  }
  bool run_until(const std::function<bool()>& done) override {
    const TimePoint deadline = clock_.now() + std::chrono::hours(1);
    while (!done()) {
      if (clock_.now() > deadline || !network_.step()) return false;
    }
    return true;
  }
  void settle() override { network_.run_for(std::chrono::seconds(30)); }
  MemNetwork& network() { return network_; }
  ManualClock& clock() { return clock_; }

 private:
  ManualClock clock_;
  MemNetwork network_;
  int made_ = 0;
};

/// A transport with its identity and everything that it was told.
struct End {
  End(Bed& bed, const BedOptions& options = {}, crypto::Identity who = crypto::Identity::generate(),
      const std::string& endpoint = "")
      : identity(std::move(who)), transport(bed.make(identity, options, endpoint)) {
    transport->set_handler([this](const NodeId& from, wire::Frame frame) {
      EXPECT_FALSE(inside_call) << "a handler was called inside a call";
      senders.push_back(from);
      frames.push_back(std::move(frame));
      if (on_frame) on_frame();
    });
    transport->set_event_handler([this](const PeerEvent& event) {
      EXPECT_FALSE(inside_call) << "an event was told inside a call";
      events.push_back(event);
    });
  }

  NodeId node() const { return identity.node(); }
  PeerAddress address() const {
    return {node(), transport->endpoint(), identity.curve().public_key()};
  }
  void allow(const End& other) {
    transport->allow(other.node(), other.identity.curve().public_key());
  }
  /// Runs `call` and fails the test if a handler is called before it returns.
  template <class Call>
  auto guarded(Call call) {
    inside_call = true;
    auto result = call();
    inside_call = false;
    return result;
  }
  Result<void> connect(const End& other) {
    return guarded([&] { return transport->connect(other.address()); });
  }
  Result<void> send(const End& other, wire::Frame frame) {
    return guarded([&] { return transport->send(other.node(), std::move(frame)); });
  }
  std::size_t count(PeerEventKind kind) const {
    return static_cast<std::size_t>(std::count_if(
        events.begin(), events.end(), [kind](const PeerEvent& e) { return e.kind == kind; }));
  }

  crypto::Identity identity;
  std::unique_ptr<Transport> transport;
  bool inside_call = false;
  std::vector<NodeId> senders;
  std::vector<wire::Frame> frames;
  std::vector<PeerEvent> events;
  std::function<void()> on_frame;
};

/// A frame that says `number`, with a payload of `payload_bytes` (none: no payload).
inline wire::Frame numbered_frame(std::uint64_t number, std::size_t payload_bytes = 0) {
  wire::Frame frame;
  put_le(frame.header, number);
  frame.signature.fill(static_cast<std::uint8_t>(number));
  if (payload_bytes > 0) {
    Bytes payload(payload_bytes);
    for (std::size_t i = 0; i < payload.size(); ++i) {
      payload[i] = static_cast<std::uint8_t>(i * 31 + number);
    }
    frame.payloads.push_back(share(std::move(payload)));
  }
  return frame;
}
inline std::uint64_t number_of(const wire::Frame& frame) {
  return get_le<std::uint64_t>(frame.header);
}

}  // namespace coshard::transport::testing
