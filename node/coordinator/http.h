// The coordinator's window for people and tools: status, metrics, the public log's files, and the
// few commands that an operator may give. Serves snapshots that cs-net prepared, never live state;
// the library's own threads see nothing else. start(), close(): main; publish(): cs-net.
// Endpoints: node/README.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "protocol/base/error.h"

namespace coshard::node {

enum class ControlCommand { kPause, kResume, kFinish };

struct HttpConfig {
  std::string listen;                 ///< "HOST:PORT"; port 0 lets the kernel choose
  std::filesystem::path ledger_root;  ///< what GET /ledger/… serves
  std::string control_token;          ///< what POSTs must bear
  /// Called on a thread of the server; false when the command cannot be taken now.
  std::function<bool(ControlCommand)> control;
  /// The same for POST /readers, with its body: a certificate in hexadecimal. kPermissionDenied
  /// becomes 403, kInvalidArgument 400, anything else 503.
  std::function<Result<void>(const std::string&)> reader;
  /// The same for POST /ledger/submit, which needs no token: what it carries is signed. Returns
  /// the JSON to answer with once everything is durable.
  std::function<Result<std::string>(const std::string&)> submit = {};
};

class HttpServer {
 public:
  /// Binds and serves. kInvalidArgument for a false address, kUnavailable when the port is taken.
  static Result<std::unique_ptr<HttpServer>> start(HttpConfig config);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// "HOST:PORT" as bound.
  const std::string& address() const;
  /// Replaces what GET /status and GET /metrics answer.
  void publish(std::string status_json, std::string metrics_text);
  void close();

 private:
  struct State;
  explicit HttpServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace coshard::node
