// Answers libzmq's question "may this CURVE key come in?" (RFC 27, ZAP) on the reactor's thread.
// Without an answer nobody comes in: a dead handler refuses. That holds only for server sockets
// that set both a ZAP domain and ZAP_ENFORCE_DOMAIN (zmq_socket.h does; reference ledger.md 4.4 has
// the measured table, tests/contract/zap_table_test.cpp keeps it).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "crypto/curve.h"
#include "protocol/base/error.h"
#include "protocol/transport/reactor.h"

namespace zmq {
class context_t;
class socket_t;
}  // namespace zmq

namespace coshard::transport {

inline constexpr const char* kZapDomain = "coshard";

class ZapAuthenticator {
 public:
  /// Whether a CURVE key may connect at all; asked on the reactor's thread.
  using Policy = std::function<bool(const crypto::CurveKey&)>;

  ZapAuthenticator(Reactor& reactor, Policy policy);
  ~ZapAuthenticator();
  /// Before the first server socket of `context` binds. kInternal when libzmq refuses.
  Result<void> start(zmq::context_t& context);
  /// Nobody comes in from now on.
  void stop();
  std::uint64_t refused() const { return refused_; }

 private:
  void answer_all();

  Reactor& reactor_;
  Policy policy_;
  std::unique_ptr<zmq::socket_t> socket_;
  Reactor::SourceId source_ = 0;
  std::uint64_t refused_ = 0;
};

}  // namespace coshard::transport
