// The file of coshard-witness that sees cpp-httplib.
// SPDX-License-Identifier: Apache-2.0
#include "node/witness/server.h"

#include <httplib.h>
#include <sys/socket.h>

#include <atomic>
#include <thread>

#include "node/web_url.h"
#include "protocol/base/limits.h"

namespace coshard::node {
namespace {

/// Also the requests that may share a transaction; a connection that is kept open has one.
constexpr std::size_t kServerThreads = 64;
constexpr std::uint64_t kMillisecondsPerSecond = 1000;

}  // namespace

struct WitnessServer::State {
  State(ledger::WitnessBook& memory, const Clock& time) : book(memory), clock(time) {}
  ledger::WitnessBook& book;
  const Clock& clock;
  std::string address;
  httplib::Server server;
  std::thread thread;
  std::atomic<bool> ended{false};

  void routes();
  std::string front_page() const;
};

std::string WitnessServer::State::front_page() const {
  const ledger::WitnessSetup& setup = book.setup();
  std::string out =
      "coshard-witness\n" +
      ledger::NoteKey{setup.name, setup.key->public_key(), ledger::NoteKeyType::kCosignatureV1}
          .vkey() +
      "\n";
  for (const auto& [origin, keys] : setup.logs) out += origin + "\n";
  return out;
}

void WitnessServer::State::routes() {
  server.Get("/", [this](const httplib::Request&, httplib::Response& response) {
    response.set_content(front_page(), "text/plain; charset=utf-8");
  });
  server.Get(R"(/checkpoint/(.+))",
             [this](const httplib::Request& request, httplib::Response& response) {
               const std::string origin = request.matches[1];
               const auto note = book.setup().logs.contains(origin)
                                     ? book.last(origin)
                                     : fail(ErrorCode::kNotFound, "unknown log");
               response.status = note ? 200 : 404;
               response.set_header("Cache-Control", "no-cache");
               response.set_content(note ? *note : note.error().message + "\n", "text/plain");
             });
  server.Post("/add-checkpoint",
              [this](const httplib::Request& request, httplib::Response& response) {
                const ledger::WitnessAnswer answer =
                    book.add_checkpoint(request.body, clock.wall_ms() / kMillisecondsPerSecond);
                response.status = answer.status;
                response.set_content(answer.body, answer.content_type.c_str());
              });
  // No file is served here: a range is nothing but work.
  server.set_pre_routing_handler([](const httplib::Request& request, httplib::Response& response) {
    if (!request.has_header("Range")) return httplib::Server::HandlerResponse::Unhandled;
    response.status = 416;
    return httplib::Server::HandlerResponse::Handled;
  });
  // The library's default, SO_REUSEPORT, would let a second program share the port unnoticed.
  server.set_socket_options([](socket_t socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  server.set_payload_max_length(limits::kNoteBytesMax);
  server.set_read_timeout(limits::kHttpTimeout);
  server.set_write_timeout(limits::kHttpTimeout);
  server.set_keep_alive_max_count(limits::kHttpKeepAliveMax);
  server.set_tcp_nodelay(true);
  server.new_task_queue = [] { return new httplib::ThreadPool(kServerThreads); };
}

WitnessServer::WitnessServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

WitnessServer::~WitnessServer() { close(); }

Result<std::unique_ptr<WitnessServer>> WitnessServer::start(ledger::WitnessBook& book,
                                                            const Clock& clock,
                                                            const std::string& listen) {
  const auto wanted = parse_host_port(listen);
  if (!wanted) return tl::unexpected(wanted.error().within("--listen"));
  auto state = std::make_unique<State>(book, clock);
  state->routes();
  int port = wanted->port;
  if (port == 0)
    port = state->server.bind_to_any_port(wanted->host);
  else if (!state->server.bind_to_port(wanted->host, port))
    port = -1;
  if (port <= 0)
    return fail(
        ErrorCode::kUnavailable,
        "--listen: cannot listen on " + listen +
            ": the port is taken or the address is not ours; choose another one, or port 0");
  state->address = wanted->host + ":" + std::to_string(port);
  state->thread = std::thread([raw = state.get()] {
    raw->server.listen_after_bind();
    raw->ended = true;
  });
  return std::unique_ptr<WitnessServer>(new WitnessServer(std::move(state)));
}

const std::string& WitnessServer::address() const { return state_->address; }

void WitnessServer::close() {
  if (!state_->thread.joinable()) return;
  // A stop() before listen_after_bind() has begun would be lost.
  while (!state_->server.is_running() && !state_->ended) std::this_thread::yield();
  state_->server.stop();
  state_->thread.join();
}

}  // namespace coshard::node
