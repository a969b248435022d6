// SPDX-License-Identifier: Apache-2.0
#include "protocol/transport/zap_authenticator.h"

#include <array>
#include <zmq.hpp>

#include "protocol/base/bytes.h"

namespace coshard::transport {
namespace {

// Parts of a request (RFC 27), after the routing id and the empty delimiter of the ROUTER.
enum RequestPart : std::size_t {
  kVersion,
  kRequestId,
  kDomain,
  kAddress,
  kIdentity,
  kMechanism,
  kCredentials,
  kRequestParts
};

using Parts = std::vector<zmq::message_t>;

Parts receive_all(zmq::socket_t& socket) {
  Parts parts;
  bool more = true;
  while (more) {
    zmq::message_t part;
    if (zmq_msg_recv(part.handle(), socket.handle(), ZMQ_DONTWAIT) < 0) break;
    more = part.more();
    parts.push_back(std::move(part));
  }
  return parts;
}

void send(zmq::socket_t& socket, const void* bytes, std::size_t size, bool more) {
  zmq_send(socket.handle(), bytes, size, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0));
}
void send(zmq::socket_t& socket, std::string_view text, bool more = true) {
  send(socket, text.data(), text.size(), more);
}

}  // namespace

ZapAuthenticator::ZapAuthenticator(Reactor& reactor, Policy policy)
    : reactor_(reactor), policy_(std::move(policy)) {}

ZapAuthenticator::~ZapAuthenticator() { stop(); }

Result<void> ZapAuthenticator::start(zmq::context_t& context) {
  try {
    socket_ = std::make_unique<zmq::socket_t>(context, ZMQ_ROUTER);
    socket_->set(zmq::sockopt::linger, 0);
    socket_->bind("inproc://zeromq.zap.01");
  } catch (const zmq::error_t& error) {
    socket_.reset();
    return fail(ErrorCode::kInternal, std::string("no ZAP handler: ") + error.what());
  }
  source_ = reactor_.watch_socket(socket_->handle(), [this] { answer_all(); });
  return {};
}

void ZapAuthenticator::stop() {
  if (!socket_) return;
  reactor_.unwatch(source_);
  socket_.reset();
}

void ZapAuthenticator::answer_all() {
  for (Parts parts = receive_all(*socket_); !parts.empty(); parts = receive_all(*socket_)) {
    if (parts.size() < 2 + kRequestId + 1) continue;
    const auto text = [&](std::size_t part) { return parts[2 + part].to_string_view(); };
    std::optional<crypto::CurveKey> key;
    if (parts.size() == 2 + kRequestParts && text(kVersion) == "1.0" &&
        text(kDomain) == kZapDomain && text(kMechanism) == "CURVE") {
      key = to_array<32>(as_bytes(text(kCredentials)));
    }
    const bool admitted = key && policy_(*key);
    if (!admitted) ++refused_;
    send(*socket_, parts[0].data(), parts[0].size(), true);
    send(*socket_, "");
    send(*socket_, "1.0");
    send(*socket_, text(kRequestId));
    send(*socket_, admitted ? "200" : "400");
    send(*socket_, admitted ? "OK" : "not admitted");
    send(*socket_, admitted ? to_hex(*key) : "");  // comes back with each message as User-Id
    send(*socket_, "", false);                     // no metadata
  }
}

}  // namespace coshard::transport
