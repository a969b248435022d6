// What the network layer costs: MB/s of 1 MiB frames through ZmqTransport beside bare libzmq with
// and without CURVE, all in one run and in turn, so that their ratio means something on a busy
// machine; and what sealing and opening an envelope costs. Prints one JSON object.
//   transport_bench [rounds]
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>
#include <zmq.hpp>

#include "crypto/identity.h"
#include "protocol/base/check.h"
#include "protocol/transport/zmq_transport.h"
#include "protocol/wire/envelope.h"

namespace {

using namespace coshard;
using namespace coshard::transport;

constexpr std::size_t kPayload = std::size_t{1} << 20;
constexpr int kFrames = 200;

double now_seconds() { return seconds(SystemClock().now().time_since_epoch()); }
double megabytes_per_second(double seconds) {
  return static_cast<double>(kFrames) * static_cast<double>(kPayload) / 1e6 / seconds;
}

// Bare libzmq: one thread sends 1 MiB messages from shared memory, this one receives and drops
// them.
double raw_zmq(bool curve) {
  zmq::context_t server_context, client_context;
  zmq::socket_t server(server_context, ZMQ_ROUTER);
  const auto keys = crypto::CurveKeyPair::generate();
  const auto client_keys = crypto::CurveKeyPair::generate();
  const auto set = [](zmq::socket_t& socket, int option, const void* value, std::size_t size) {
    COSHARD_CHECK(zmq_setsockopt(socket.handle(), option, value, size) == 0);
  };
  const int one = 1;
  if (curve) {
    set(server, ZMQ_CURVE_SERVER, &one, sizeof one);
    set(server, ZMQ_CURVE_SECRETKEY, keys.secret().data(), 32);
  }
  server.bind("tcp://127.0.0.1:*");
  const std::string endpoint = server.get(zmq::sockopt::last_endpoint);
  std::thread sender([&] {
    zmq::socket_t client(client_context, ZMQ_DEALER);
    if (curve) {
      set(client, ZMQ_CURVE_SERVERKEY, keys.public_key().data(), 32);
      set(client, ZMQ_CURVE_PUBLICKEY, client_keys.public_key().data(), 32);
      set(client, ZMQ_CURVE_SECRETKEY, client_keys.secret().data(), 32);
    }
    client.connect(endpoint);
    static Bytes payload(kPayload, 7);
    for (int i = 0; i <= kFrames; ++i) {  // the first one is not timed
      zmq::message_t message(
          payload.data(), payload.size(), [](void*, void*) {}, nullptr);
      client.send(message, zmq::send_flags::none);
    }
  });
  double start = 0;
  for (int i = 0; i <= kFrames; ++i) {
    zmq::message_t route, message;
    COSHARD_CHECK(server.recv(route) && server.recv(message));
    if (i == 0) start = now_seconds();
  }
  const double elapsed = now_seconds() - start;
  sender.join();
  return megabytes_per_second(elapsed);
}

// Two transports, each on its own thread, as in two processes; the sender pushes until refused.
double through_transport() {
  const auto server_id = crypto::Identity::generate();
  const auto client_id = crypto::Identity::generate();
  SystemClock clock;
  Reactor server_loop(clock);
  ZmqOptions options;
  options.listen = "tcp://127.0.0.1:*";
  auto server = make_zmq_transport(server_loop, server_id, options).value();
  server->allow(client_id.node(), client_id.curve().public_key());
  const PeerAddress address{server_id.node(), server->endpoint(), server_id.curve().public_key()};
  int received = 0;
  double start = 0;
  server->set_handler([&](const NodeId&, wire::Frame frame) {
    COSHARD_CHECK_OP(frame.payloads.at(0)->size(), ==, kPayload);
    if (received++ == 0) start = now_seconds();
  });

  std::atomic<bool> done{false};
  std::thread sender([&] {
    Reactor loop(clock);
    ZmqOptions dial_only;
    dial_only.bytes_in_flight_max = 16 * kPayload;
    auto client = make_zmq_transport(loop, client_id, dial_only).value();
    COSHARD_CHECK(client->connect(address).has_value());
    const SharedBytes payload = share(Bytes(kPayload, 7));
    int sent = 0;
    while (!done.load()) {
      while (client->connected(address.node) && sent <= kFrames) {
        wire::Frame frame;
        frame.header.resize(200);
        frame.payloads.push_back(payload);
        if (!client->send(address.node, std::move(frame))) break;
        ++sent;
      }
      loop.run_once(std::chrono::milliseconds(1));
    }
    COSHARD_CHECK(client->close().has_value());
  });
  while (received <= kFrames) server_loop.run_once(std::chrono::milliseconds(10));
  const double elapsed = now_seconds() - start;
  done = true;
  sender.join();
  return megabytes_per_second(elapsed);
}

// Seconds of one call, over enough calls to measure.
template <class Call>
double each(int calls, Call call) {
  const double start = now_seconds();
  for (int i = 0; i < calls; ++i) call();
  return (now_seconds() - start) / calls;
}

struct EnvelopeCost {
  double seal = 0, open = 0;
};

EnvelopeCost envelope_cost(const Message& message, const SharedBytes& payload, int calls) {
  const auto keys = crypto::KeyPair::generate();
  const NodeId receiver{{9}};
  wire::Sealer sealer(keys, NetworkId{{1}}, Incarnation(1));
  wire::SenderState state;
  state.incarnation = Incarnation(1);
  wire::OpenPolicy policy;
  policy.network = NetworkId{{1}};
  policy.receiver = receiver;
  policy.sender = [&](const NodeId&) { return &state; };
  std::vector<wire::Frame> frames;
  EnvelopeCost cost;
  cost.seal = each(calls, [&] {
    std::vector<wire::Payload> payloads;
    if (payload) payloads.push_back(wire::hashed(payload));
    frames.push_back(sealer.seal(receiver, message, payloads).value());
  });
  wire::RefusalCounters counters;
  std::size_t next = 0;
  cost.open =
      each(calls, [&] { COSHARD_CHECK(wire::open(frames[next++], policy, counters).has_value()); });
  return cost;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int count, char** arguments) {
  const int rounds = count > 1 ? std::atoi(arguments[1]) : 5;
  std::vector<double> null_rates, curve_rates, transport_rates, ratios;
  for (int round = 0; round < rounds; ++round) {
    null_rates.push_back(raw_zmq(false));
    curve_rates.push_back(raw_zmq(true));
    transport_rates.push_back(through_transport());
    ratios.push_back(transport_rates.back() / curve_rates.back());
  }
  const TensorHeader tensor{
      DType::kU8, BoundaryEncoding::kNone, {static_cast<std::int64_t>(kPayload)}};
  const auto large = envelope_cost(ForwardTensor{{}, tensor}, share(Bytes(kPayload, 3)), 300);
  const auto small = envelope_cost(Heartbeat{}, nullptr, 3000);
  const Bytes source(kPayload, 1);
  const double copy = each(300, [&] {
    const SharedBytes copied = share(to_bytes(source));
    COSHARD_CHECK(copied->back() == 1);
  });
  std::printf(
      "{\"frame_bytes\": %zu, \"rounds\": %d,\n"
      " \"zmq_null_mb_per_s\": %.0f, \"zmq_curve_mb_per_s\": %.0f, \"transport_mb_per_s\": %.0f,\n"
      " \"transport_to_zmq_curve\": %.3f,\n"
      " \"seal_1mib_us\": %.0f, \"open_1mib_us\": %.0f, \"receive_copy_1mib_us\": %.0f,\n"
      " \"seal_small_us\": %.1f, \"open_small_us\": %.1f}\n",
      kPayload, rounds, median(null_rates), median(curve_rates), median(transport_rates),
      median(ratios), large.seal * 1e6, large.open * 1e6, copy * 1e6, small.seal * 1e6,
      small.open * 1e6);
  return 0;
}
