// What the network layer costs: MB/s of 1 MiB frames through ZmqTransport beside bare libzmq with
// and without CURVE, all in one run and in turn, so that their ratio means something on a busy
// machine; and what sealing and opening an envelope costs. Prints one JSON object.
//   transport_bench [rounds]
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <ctime>
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
double cpu_seconds(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// Both by the wall and by the processor time of all threads of both ends, which other programs on
// the machine do not change.
struct Rate {
  double mb_per_s = 0;
  double cpu_s_per_gb = 0;
};
class Stopwatch {
 public:
  void start() {
    wall_ = now_seconds();
    cpu_ = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID);
  }
  Rate stop() const {
    const double bytes = static_cast<double>(kFrames) * static_cast<double>(kPayload);
    return {bytes / 1e6 / (now_seconds() - wall_),
            (cpu_seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu_) / (bytes / 1e9)};
  }

 private:
  double wall_ = 0, cpu_ = 0;
};

// Bare libzmq: one thread sends 1 MiB messages from shared memory, this one receives and drops
// them.
Rate raw_zmq(bool curve) {
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
  Stopwatch watch;
  for (int i = 0; i <= kFrames; ++i) {
    zmq::message_t route, message;
    COSHARD_CHECK(server.recv(route) && server.recv(message));
    if (i == 0) watch.start();
  }
  const Rate rate = watch.stop();
  sender.join();
  return rate;
}

// Two transports, each on its own thread, as in two processes; the sender pushes until refused.
Rate through_transport() {
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
  Stopwatch watch;
  server->set_handler([&](const NodeId&, wire::Frame frame) {
    COSHARD_CHECK_OP(frame.payloads.at(0)->size(), ==, kPayload);
    if (received++ == 0) watch.start();
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
  const Rate rate = watch.stop();
  done = true;
  sender.join();
  return rate;
}

// Processor seconds of one call, over enough calls to measure.
template <class Call>
double each(int calls, Call call) {
  const double start = cpu_seconds(CLOCK_THREAD_CPUTIME_ID);
  for (int i = 0; i < calls; ++i) call();
  return (cpu_seconds(CLOCK_THREAD_CPUTIME_ID) - start) / calls;
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
double median_of(const std::vector<Rate>& rates, double Rate::*what) {
  std::vector<double> values;
  for (const Rate& rate : rates) values.push_back(rate.*what);
  return median(std::move(values));
}

}  // namespace

int main(int count, char** arguments) {
  const int rounds = count > 1 ? std::atoi(arguments[1]) : 5;
  std::vector<Rate> plain, curve, transport;
  std::vector<double> ratios, cpu_ratios;
  for (int round = 0; round < rounds; ++round) {
    plain.push_back(raw_zmq(false));
    curve.push_back(raw_zmq(true));
    transport.push_back(through_transport());
    ratios.push_back(transport.back().mb_per_s / curve.back().mb_per_s);
    cpu_ratios.push_back(transport.back().cpu_s_per_gb / curve.back().cpu_s_per_gb);
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
  const auto print = [](const char* name, const std::vector<Rate>& rates) {
    std::printf(" \"%s\": {\"mb_per_s\": %.0f, \"cpu_s_per_gb\": %.2f},\n", name,
                median_of(rates, &Rate::mb_per_s), median_of(rates, &Rate::cpu_s_per_gb));
  };
  std::printf("{\"frame_bytes\": %zu, \"rounds\": %d,\n", kPayload, rounds);
  print("zmq_null", plain);
  print("zmq_curve", curve);
  print("transport", transport);
  std::printf(
      " \"transport_to_zmq_curve\": {\"mb_per_s\": %.3f, \"cpu_s_per_gb\": %.3f},\n"
      " \"cpu_us\": {\"seal_1mib\": %.0f, \"open_1mib\": %.0f, \"receive_copy_1mib\": %.0f,"
      " \"seal_small\": %.1f, \"open_small\": %.1f}}\n",
      median(ratios), median(cpu_ratios), large.seal * 1e6, large.open * 1e6, copy * 1e6,
      small.seal * 1e6, small.open * 1e6);
  return 0;
}
