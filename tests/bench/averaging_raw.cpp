// Reduce-scatter and all-gather through bare libzmq: one connection per pair of replicas, chunks of
// the same size to the same reducers, each sent on the moment that it can be. Nothing is hashed,
// added or copied.
// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <map>
#include <zmq.hpp>

#include "protocol/base/check.h"
#include "tests/bench/averaging_bench.h"

namespace coshard::bench {
namespace {

/// The part in front of a chunk's values.
struct Label {
  std::uint32_t chunk = 0;
  std::uint32_t averaged = 0;
};

class RawReplica {
 public:
  RawReplica(const Job& job, bool curve)
      : job_(job), curve_(curve), values_(limits::kChunkElements * sizeof(float), 7) {}

  void connect();
  void step();

 private:
  void secure(zmq::socket_t& socket, std::uint32_t peer, bool server);
  void send(std::uint32_t to, Label label);
  void on_chunk(const Label& label);
  std::uint32_t reducer(std::uint32_t chunk) const { return chunk % job_.world; }

  const Job& job_;
  const bool curve_;
  Bytes values_;
  zmq::context_t context_{1};
  std::map<std::uint32_t, zmq::socket_t> peers_;
  std::vector<std::uint32_t> arrived_;  ///< contributions, by chunk
  std::uint32_t have_ = 0;
};

void RawReplica::secure(zmq::socket_t& socket, std::uint32_t peer, bool server) {
  const auto set = [&](int option, const void* value, std::size_t size) {
    COSHARD_CHECK(zmq_setsockopt(socket.handle(), option, value, size) == 0);
  };
  const int one = 1;
  const crypto::CurveKeyPair& own = job_.self().curve();
  set(ZMQ_CURVE_SECRETKEY, own.secret().data(), own.secret().size());
  if (server) return set(ZMQ_CURVE_SERVER, &one, sizeof one);
  const crypto::CurveKey& theirs = (*job_.identities)[peer].curve().public_key();
  set(ZMQ_CURVE_PUBLICKEY, own.public_key().data(), own.public_key().size());
  set(ZMQ_CURVE_SERVERKEY, theirs.data(), theirs.size());
}

/// Of two replicas the lower rank listens.
void RawReplica::connect() {
  for (std::uint32_t peer = 0; peer < job_.world; ++peer) {
    if (peer == job_.rank) continue;
    auto& socket = peers_.emplace(peer, zmq::socket_t(context_, ZMQ_DEALER)).first->second;
    if (curve_) secure(socket, peer, job_.rank < peer);
    if (job_.rank > peer) continue;
    socket.bind("tcp://127.0.0.1:*");
    const std::string endpoint = socket.get(zmq::sockopt::last_endpoint);
    endpoint.copy(job_.board->endpoint(job_.rank, peer).data(), 63);
  }
  job_.board->meet();
  for (std::uint32_t peer = 0; peer < job_.rank; ++peer)
    peers_.at(peer).connect(job_.board->endpoint(peer, job_.rank).data());
}

void RawReplica::send(std::uint32_t to, Label label) {
  zmq::socket_t& socket = peers_.at(to);
  COSHARD_CHECK(socket.send(zmq::const_buffer(&label, sizeof label), zmq::send_flags::sndmore));
  zmq::message_t values(
      values_.data(), job_.chunk_elements(label.chunk) * sizeof(float), [](void*, void*) {},
      nullptr);
  COSHARD_CHECK(socket.send(values, zmq::send_flags::none));
}

void RawReplica::on_chunk(const Label& label) {
  if (label.averaged != 0) return void(++have_);
  if (++arrived_[label.chunk] + 1 < job_.world) return;
  ++have_;
  for (const auto& [peer, socket] : peers_) send(peer, {label.chunk, 1});
}

void RawReplica::step() {
  arrived_.assign(job_.chunks(), 0);
  have_ = 0;
  for (std::uint32_t chunk = 0; chunk < job_.chunks(); ++chunk)
    if (reducer(chunk) != job_.rank) send(reducer(chunk), {chunk, 0});
  std::vector<zmq::pollitem_t> items;
  for (auto& [peer, socket] : peers_) items.push_back({socket.handle(), 0, ZMQ_POLLIN, 0});
  while (have_ < job_.chunks()) {
    zmq::poll(items.data(), items.size(), std::chrono::milliseconds(-1));
    for (auto& [peer, socket] : peers_) {
      zmq::message_t front, values;
      while (socket.recv(front, zmq::recv_flags::dontwait)) {
        COSHARD_CHECK(front.size() == sizeof(Label) && socket.recv(values));
        Label label;
        std::memcpy(&label, front.data(), sizeof label);
        COSHARD_CHECK_OP(values.size(), ==, job_.chunk_elements(label.chunk) * sizeof(float));
        on_chunk(label);
      }
    }
  }
}

}  // namespace

Measured run_raw(const Job& job, bool curve) {
  RawReplica replica(job, curve);
  replica.connect();
  StepClock clock(job);
  for (std::uint32_t i = 0; i < job.warmup + job.steps; ++i) {
    clock.begin();
    replica.step();
    clock.end();
    clock.settle();
  }
  return clock.measured();
}

}  // namespace coshard::bench
