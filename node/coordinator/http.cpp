// The one file that sees cpp-httplib.
// SPDX-License-Identifier: Apache-2.0
#include "node/coordinator/http.h"

#include <httplib.h>

#include <sys/socket.h>

#include <atomic>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "ledger/requests.h"
#include "node/http_range.h"
#include "node/web_url.h"
#include "protocol/base/limits.h"

namespace coshard::node {

namespace {

constexpr std::size_t kServerThreads = 2;

/// Compares without telling by its duration how much was right.
bool same_text(const std::string& a, const std::string& b) {
  if (a.size() != b.size()) return false;
  unsigned difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    difference |= static_cast<unsigned>(static_cast<unsigned char>(a[i] ^ b[i]));
  return difference == 0;
}

/// Names of the log's files: no segment that climbs or hides.
bool is_plain_path(const std::string& path) {
  std::istringstream segments(path);
  for (std::string segment; std::getline(segments, segment, '/');) {
    if (segment.empty() || segment.front() == '.') return false;
    for (const char c : segment) {
      const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
      if (!plain) return false;
    }
  }
  return !path.empty() && path.back() != '/';
}

}  // namespace

struct HttpServer::State {
  HttpConfig config;
  std::string address;
  httplib::Server server;
  std::thread thread;
  std::atomic<bool> ended{false};
  std::mutex mutex;  // guards the two texts, which cs-net writes and the server's threads read
  std::string status_json = "{}";
  std::string metrics_text;

  void routes();
  void serve_log_file(const httplib::Request& request, httplib::Response& response);
  bool may_command(const httplib::Request& request, httplib::Response& response) const;
  void take_command(ControlCommand command, const httplib::Request& request,
                    httplib::Response& response);
  void take_reader(const httplib::Request& request, httplib::Response& response);
  void take_submission(const httplib::Request& request, httplib::Response& response);
};

int status_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return 400;
    case ErrorCode::kPermissionDenied:
      return 403;
    case ErrorCode::kFailedPrecondition:
      return 409;
    case ErrorCode::kResourceExhausted:
      return 429;
    case ErrorCode::kDeadlineExceeded:
      return 504;
    default:
      return 503;
  }
}

void HttpServer::State::take_submission(const httplib::Request& request,
                                        httplib::Response& response) {
  if (!config.submit) {
    response.status = 404;
    return;
  }
  const auto answer = config.submit(request.body);
  response.set_header("Cache-Control", "no-store");
  if (answer) return response.set_content(*answer, "application/json");
  response.status = status_of(answer.error().code);
  const nlohmann::ordered_json json{{"error", answer.error().message},
                                    {"code", std::string(to_string(answer.error().code))}};
  response.set_content(
      json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n",
      "application/json");
}

void HttpServer::State::serve_log_file(const httplib::Request& request,
                                       httplib::Response& response) {
  const std::string path = request.matches[1];
  std::error_code error;
  if (!is_plain_path(path) || !std::filesystem::is_regular_file(config.ledger_root / path, error)) {
    response.status = 404;
    return;
  }
  const std::ifstream file(config.ledger_root / path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  // Units never change; partial tiles are removed, and what is removed may still be kept.
  const bool is_tile = path.find("/tile/") != std::string::npos;
  const bool is_final = is_tile || path.find("/units/") != std::string::npos;
  response.set_header("Cache-Control",
                      is_final ? "public, max-age=31536000, immutable" : "no-cache");
  response.set_content(content.str(),
                       is_final ? "application/octet-stream" : "text/plain; charset=utf-8");
}

bool HttpServer::State::may_command(const httplib::Request& request,
                                    httplib::Response& response) const {
  if (request.body.size() > limits::kHttpRequestBytesMax) {
    response.status = 413;
    return false;
  }
  if (same_text(request.get_header_value("Authorization"), "Bearer " + config.control_token))
    return true;
  response.status = 401;
  response.set_content("{\"error\":\"expected Authorization: Bearer <control.token>\"}\n",
                       "application/json");
  return false;
}

void HttpServer::State::take_reader(const httplib::Request& request, httplib::Response& response) {
  if (!may_command(request, response)) return;
  const auto taken = config.reader(request.body);
  response.status = taken                                                ? 202
                    : taken.error().code == ErrorCode::kPermissionDenied ? 403
                    : taken.error().code == ErrorCode::kInvalidArgument  ? 400
                                                                         : 503;
  response.set_content(taken ? "accepted" : taken.error().message, "text/plain");
}

void HttpServer::State::take_command(ControlCommand command, const httplib::Request& request,
                                     httplib::Response& response) {
  if (!may_command(request, response)) return;
  const bool taken = config.control(command);
  response.status = taken ? 202 : 503;
  response.set_content(taken ? "{\"accepted\":true}\n" : "{\"accepted\":false}\n",
                       "application/json");
}

void HttpServer::State::routes() {
  server.Get("/status", [this](const httplib::Request&, httplib::Response& response) {
    const std::lock_guard lock(mutex);
    response.set_header("Cache-Control", "no-store");
    response.set_content(status_json, "application/json");
  });
  server.Get("/metrics", [this](const httplib::Request&, httplib::Response& response) {
    const std::lock_guard lock(mutex);
    response.set_content(metrics_text, "text/plain; version=0.0.4");
  });
  server.Get(R"(/ledger/(.+))",
             [this](const httplib::Request& request, httplib::Response& response) {
               serve_log_file(request, response);
             });
  const std::pair<const char*, ControlCommand> commands[] = {{"/pause", ControlCommand::kPause},
                                                             {"/resume", ControlCommand::kResume},
                                                             {"/finish", ControlCommand::kFinish}};
  for (const auto& [path, command] : commands) {
    server.Post(path, [this, taken = command](const httplib::Request& request,
                                              httplib::Response& response) {
      take_command(taken, request, response);
    });
  }
  server.Post("/readers", [this](const httplib::Request& request, httplib::Response& response) {
    take_reader(request, response);
  });
  server.Post("/ledger/submit",
              [this](const httplib::Request& request, httplib::Response& response) {
                take_submission(request, response);
              });
  // The library copies a file once for each range of a request.
  server.set_pre_routing_handler([](const httplib::Request& request, httplib::Response& response) {
    const std::size_t count = request.get_header_value_count("Range");
    if (count == 0 || (count == 1 && is_one_range(request.get_header_value("Range"))))
      return httplib::Server::HandlerResponse::Unhandled;
    response.status = 416;
    return httplib::Server::HandlerResponse::Handled;
  });
  // The library's default, SO_REUSEPORT, would let a second program share the port unnoticed.
  server.set_socket_options([](socket_t socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  server.set_payload_max_length(ledger::kRequestBytesMax);  // others: may_command()
  server.set_read_timeout(limits::kHttpTimeout);
  server.set_write_timeout(limits::kHttpTimeout);
  server.set_keep_alive_max_count(limits::kHttpKeepAliveMax);
  server.new_task_queue = [] { return new httplib::ThreadPool(kServerThreads); };
}

HttpServer::HttpServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

HttpServer::~HttpServer() { close(); }

Result<std::unique_ptr<HttpServer>> HttpServer::start(HttpConfig config) {
  const auto asked = parse_host_port(config.listen);
  if (!asked) return tl::unexpected(asked.error().within("--http"));
  const HostPort& wanted = *asked;
  auto state = std::make_unique<State>();
  state->config = std::move(config);
  state->routes();
  int port = wanted.port;
  if (port == 0)
    port = state->server.bind_to_any_port(wanted.host);
  else if (!state->server.bind_to_port(wanted.host, port))
    port = -1;
  if (port <= 0)
    return fail(ErrorCode::kUnavailable, "--http: cannot listen on " + state->config.listen +
                                             ": the port is taken or the address is not ours; "
                                             "choose another one, or port 0");
  state->address = wanted.host + ":" + std::to_string(port);
  state->thread = std::thread([raw = state.get()] {
    raw->server.listen_after_bind();
    raw->ended = true;
  });
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(state)));
}

const std::string& HttpServer::address() const { return state_->address; }

void HttpServer::publish(std::string status_json, std::string metrics_text) {
  const std::lock_guard lock(state_->mutex);
  state_->status_json = std::move(status_json);
  state_->metrics_text = std::move(metrics_text);
}

void HttpServer::close() {
  if (!state_->thread.joinable()) return;
  // A stop() before listen_after_bind() has begun would be lost.
  while (!state_->server.is_running() && !state_->ended) std::this_thread::yield();
  state_->server.stop();
  state_->thread.join();
}

}  // namespace coshard::node
