// SPDX-License-Identifier: Apache-2.0
#include "protocol/transport/zmq_link.h"

#include <zmq.hpp>

#include "crypto/random.h"
#include "protocol/base/limits.h"
#include "protocol/transport/peer_table.h"

namespace coshard::transport {

using std::chrono_literals::operator""ms;

ZmqLink::ZmqLink(Shared shared, PeerAddress peer, LinkEvents events)
    : shared_(shared), peer_(std::move(peer)), events_(std::move(events)) {}

ZmqLink::~ZmqLink() { stop(0ms); }

Result<void> ZmqLink::start() { return dial(); }

void ZmqLink::stop(std::chrono::milliseconds linger) {
  stopped_ = true;
  hang_up(linger);
}

Result<void> ZmqLink::dial() {
  COSHARD_ASSIGN(socket_, make_dealer_socket(shared_.context, shared_.self.curve(),
                                             peer_.curve_public, shared_.payload_bytes_max));
  COSHARD_ASSIGN(monitor_, make_monitor(shared_.context, *socket_));
  if (zmq_connect(socket_->handle(), peer_.endpoint.c_str()) != 0) {
    const std::string why = zmq_strerror(zmq_errno());
    hang_up(0ms);
    return fail(
        ErrorCode::kInvalidArgument,
        "expected an endpoint like tcp://192.0.2.7:4601, found \"" + peer_.endpoint + "\": " + why);
  }
  channel_.emplace(shared_.self, peer_.node, peer_.curve_public, crypto::random_array<32>());
  socket_source_ = shared_.reactor.watch_socket(socket_->handle(), [this] { on_messages(); });
  monitor_source_ = shared_.reactor.watch_socket(monitor_->handle(), [this] { on_events(); });
  timer_ = shared_.reactor.after(limits::kHandshakeTimeout,
                                 [this] { end("no proof within the handshake timeout"); });
  // Waits in the socket until CURVE's handshake is through.
  send_hello(*socket_, {}, channel_->offer());
  return {};
}

void ZmqLink::hang_up(std::chrono::milliseconds linger) {
  shared_.reactor.cancel(timer_);
  shared_.reactor.unwatch(socket_source_);
  shared_.reactor.unwatch(monitor_source_);
  if (socket_) zmq_socket_monitor(socket_->handle(), nullptr, 0);
  close_socket(monitor_, 0ms);
  close_socket(socket_, linger);
  channel_.reset();
  up_ = false;
}

void ZmqLink::end(const std::string& reason) {
  if (stopped_) return;
  const auto self = shared_from_this();  // the owner may drop us in down()
  const bool was_up = up_;
  hang_up(0ms);
  if (was_up) attempts_ = 0;
  dial_later();
  events_.down(was_up, reason);
}

void ZmqLink::dial_later() {
  const double chance = static_cast<double>(crypto::random_u64() >> 11) * 0x1.0p-53;
  timer_ = shared_.reactor.after(retry_delay(attempts_++, chance), [this] {
    // What can fail here is libzmq running out of sockets; that passes.
    if (!dial()) dial_later();
  });
}

SendOutcome ZmqLink::send(wire::Frame frame, const std::shared_ptr<Flow>& flow) {
  COSHARD_CHECK(up_);
  return send_frame(*socket_, {}, std::move(frame), flow);
}

void ZmqLink::on_messages() {
  const auto self = shared_from_this();
  for (int i = 0; i < limits::kMessagesPerTurn && socket_; ++i) {
    const auto incoming = receive(*socket_, false);
    if (!incoming) return;
    on_message(*incoming);
  }
}

void ZmqLink::on_message(const Incoming& incoming) {
  TransportCounters& counters = shared_.counters;
  if (incoming.parts.size() == 1) {
    const auto step = channel_->on(incoming.part(0));
    if (!step) {
      ++counters.hellos_refused;
      return end(step.error().message);
    }
    if (!step->reply.empty()) send_hello(*socket_, {}, step->reply);
    if (!step->proved) return;
    shared_.reactor.cancel(timer_);
    attempts_ = 0;
    up_ = true;
    return events_.up();
  }
  if (!up_) return void(++counters.unproved);
  auto frame = incoming.to_frame(shared_.payload_bytes_max);
  if (!frame) {
    ++counters.malformed;
    return events_.malformed();
  }
  events_.frame(std::move(*frame));
}

void ZmqLink::on_events() {
  const auto self = shared_from_this();
  // What arrived before the connection ended is delivered before its end is told.
  while (socket_) {
    const auto event = next_event(*monitor_);
    if (!event) return;
    while (socket_) {
      const auto incoming = receive(*socket_, false);
      if (!incoming) break;
      on_message(*incoming);
    }
    end(event->reason);
  }
}

}  // namespace coshard::transport
