// A client that speaks ZeroMQ and CURVE but keeps none of our rules: what an attacker would write.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <zmq.hpp>

#include "protocol/transport/channel.h"
#include "tests/contract/transport/transport_bed.h"

namespace coshard::transport::testing {

class RawClient {
 public:
  /// Dials `server` with the CURVE key of `identity`; nothing is said yet.
  RawClient(const crypto::Identity& identity, const End& server, const std::string& routing_id = "")
      : socket_(context_, ZMQ_DEALER),
        channel_(identity, server.node(), server.identity.curve().public_key(), {5}) {
    const auto& pinned = server.identity.curve().public_key();
    set(ZMQ_CURVE_SERVERKEY, pinned.data(), pinned.size());
    const auto& own = identity.curve().public_key();
    set(ZMQ_CURVE_PUBLICKEY, own.data(), own.size());
    const ByteView secret = identity.curve().secret();
    set(ZMQ_CURVE_SECRETKEY, secret.data(), secret.size());
    if (!routing_id.empty()) set(ZMQ_ROUTING_ID, routing_id.data(), routing_id.size());
    const int none = 0;
    set(ZMQ_LINGER, &none, sizeof none);
    socket_.connect(server.transport->endpoint());
  }

  void send(const std::vector<Bytes>& parts) {
    for (std::size_t i = 0; i < parts.size(); ++i) {
      zmq::message_t part(parts[i].data(), parts[i].size());
      const auto more = i + 1 < parts.size() ? zmq::send_flags::sndmore : zmq::send_flags::none;
      socket_.send(part, more | zmq::send_flags::dontwait);
    }
  }
  void send_frame(const wire::Frame& frame) {
    std::vector<Bytes> parts{frame.header, to_bytes(frame.signature)};
    for (const SharedBytes& payload : frame.payloads) parts.push_back(*payload);
    send(parts);
  }

  /// The parts of the next message that is there, if any.
  std::vector<Bytes> receive() {
    std::vector<Bytes> parts;
    bool more = true;
    while (more) {
      zmq::message_t part;
      if (!socket_.recv(part, zmq::recv_flags::dontwait)) break;
      parts.push_back(to_bytes(as_bytes(part.to_string_view())));
      more = part.more();
    }
    return parts;
  }

  /// Opens the channel honestly; false when the server does not play along.
  bool prove(Bed& bed) {
    send({channel_.offer()});
    bool proved = false;
    bed.run_until([&] {
      const auto parts = receive();
      if (parts.empty()) return proved;
      const auto step = channel_.on(parts[0]);
      if (!step) return true;
      if (!step->reply.empty()) {
        confirm_ = step->reply;
        send({step->reply});
      }
      proved = step->proved;
      return proved;
    });
    return proved;
  }
  const Bytes& confirm() const { return confirm_; }
  const ChannelClient& channel() const { return channel_; }

 private:
  void set(int option, const void* value, std::size_t size) {
    ASSERT_EQ(zmq_setsockopt(socket_.handle(), option, value, size), 0);
  }

  zmq::context_t context_;
  zmq::socket_t socket_;
  ChannelClient channel_;
  Bytes confirm_;
};

}  // namespace coshard::transport::testing
