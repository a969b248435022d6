// The table of reference ledger.md 4.4, row by row, on bare libzmq: when does a CURVE server let an
// unknown key in? Kept as a test because the whole admission rests on it, and because two of the
// ways in are surprising. Our own listener uses the last row.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <optional>
#include <ostream>
#include <string>
#include <vector>
#include <zmq.hpp>

#include "crypto/curve.h"

namespace coshard::transport {
namespace {

constexpr int kZapEnforceDomain = 93;

enum class Handler {
  kNone,
  kRefusesAll,
  kKilled  ///< was there when the server bound, and is gone when the client comes
};

struct Row {
  const char* name;
  Handler handler;
  int enforce;
  const char* domain;
  bool delivered;
  friend std::ostream& operator<<(std::ostream& out, const Row& row) { return out << row.name; }
};

void refuse_one(zmq::socket_t& handler) {
  std::vector<std::string> parts;
  bool more = true;
  while (more) {
    zmq::message_t part;
    if (!handler.recv(part, zmq::recv_flags::dontwait)) return;
    parts.push_back(part.to_string());
    more = part.more();
  }
  const std::vector<std::string> reply{parts.at(0), "", "1.0", parts.at(3), "400", "no", "", ""};
  for (std::size_t i = 0; i < reply.size(); ++i) {
    handler.send(zmq::buffer(reply[i]),
                 i + 1 < reply.size() ? zmq::send_flags::sndmore : zmq::send_flags::none);
  }
}

// Whether a message of an unknown key reaches a server that is set up like this.
bool delivers(const Row& row) {
  zmq::context_t context;
  std::optional<zmq::socket_t> handler;
  if (row.handler != Handler::kNone) {
    handler.emplace(context, ZMQ_ROUTER);
    handler->bind("inproc://zeromq.zap.01");
  }
  const auto server_keys = crypto::CurveKeyPair::generate();
  const auto client_keys = crypto::CurveKeyPair::generate();
  const auto set = [](zmq::socket_t& socket, int option, const void* value, std::size_t size) {
    ASSERT_EQ(zmq_setsockopt(socket.handle(), option, value, size), 0) << option;
  };
  const int one = 1;
  zmq::socket_t server(context, ZMQ_ROUTER);
  set(server, ZMQ_CURVE_SERVER, &one, sizeof one);
  set(server, ZMQ_CURVE_SECRETKEY, server_keys.secret().data(), 32);
  set(server, kZapEnforceDomain, &row.enforce, sizeof row.enforce);
  const std::string_view domain = row.domain;
  if (!domain.empty()) set(server, ZMQ_ZAP_DOMAIN, domain.data(), domain.size());
  server.bind("tcp://127.0.0.1:*");
  if (row.handler == Handler::kKilled) {
    // Closing alone gives the name back later, on libzmq's own thread.
    handler->unbind("inproc://zeromq.zap.01");
    handler.reset();
  }

  zmq::socket_t client(context, ZMQ_DEALER);
  set(client, ZMQ_CURVE_SERVERKEY, server_keys.public_key().data(), 32);
  set(client, ZMQ_CURVE_PUBLICKEY, client_keys.public_key().data(), 32);
  set(client, ZMQ_CURVE_SECRETKEY, client_keys.secret().data(), 32);
  client.connect(server.get(zmq::sockopt::last_endpoint));
  client.send(zmq::str_buffer("let me in"));

  // A refusal is silence, so it takes the whole wait; a delivery takes milliseconds.
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(row.delivered ? 20'000 : 400);
  bool delivered = false;
  while (!delivered && std::chrono::steady_clock::now() < deadline) {
    std::vector<zmq_pollitem_t> items{{server.handle(), 0, ZMQ_POLLIN, 0}};
    if (handler) items.push_back({handler->handle(), 0, ZMQ_POLLIN, 0});
    zmq_poll(items.data(), static_cast<int>(items.size()), 20);
    delivered = (items[0].revents & ZMQ_POLLIN) != 0;
    if (handler && (items[1].revents & ZMQ_POLLIN) != 0) refuse_one(*handler);
  }
  for (zmq::socket_t* socket : {&client, &server}) socket->set(zmq::sockopt::linger, 0);
  return delivered;
}

class ZapTable : public ::testing::TestWithParam<Row> {};

TEST_P(ZapTable, B10_IsAsMeasured) { EXPECT_EQ(delivers(GetParam()), GetParam().delivered); }

INSTANTIATE_TEST_SUITE_P(
    Ledger44, ZapTable,
    ::testing::Values(Row{"NoHandler_NotEnforced_NoDomain", Handler::kNone, 0, "", true},
                      Row{"NoHandler_NotEnforced_Domain", Handler::kNone, 0, "coshard", true},
                      Row{"NoHandler_Enforced_NoDomain", Handler::kNone, 1, "", true},
                      Row{"NoHandler_Enforced_Domain", Handler::kNone, 1, "coshard", false},
                      Row{"Handler_NotEnforced_NoDomain", Handler::kRefusesAll, 0, "", false},
                      Row{"Handler_NotEnforced_Domain", Handler::kRefusesAll, 0, "coshard", false},
                      Row{"Handler_Enforced_NoDomain", Handler::kRefusesAll, 1, "", true},
                      Row{"Handler_Enforced_Domain", Handler::kRefusesAll, 1, "coshard", false},
                      Row{"Killed_NotEnforced_Domain", Handler::kKilled, 0, "coshard", true},
                      Row{"Killed_Enforced_NoDomain", Handler::kKilled, 1, "", true},
                      Row{"Killed_Enforced_Domain", Handler::kKilled, 1, "coshard", false}),
    [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace coshard::transport
