// SPDX-License-Identifier: Apache-2.0
#include "tests/support/postgres_server.h"

#include <pwd.h>
#include <unistd.h>

#include <cstdio>

#include "ledger/store/postgres_connection.h"

namespace coshard::test {
namespace {

constexpr std::chrono::seconds kPatience{60};

/// The newest server of Debian's folders; empty when there is none.
Path find_programs() {
  Path newest;
  std::error_code error;
  for (const auto& version : std::filesystem::directory_iterator("/usr/lib/postgresql", error)) {
    const Path bin = version.path() / "bin";
    if (std::filesystem::exists(bin / "initdb") && (newest.empty() || newest < bin)) newest = bin;
  }
  return newest;
}

}  // namespace

PostgresServer* PostgresServer::shared() {
  static const std::unique_ptr<PostgresServer> server = start();
  return server.get();
}

std::unique_ptr<PostgresServer> PostgresServer::start(const std::string& settings) {
  const Path programs = find_programs();
  if (programs.empty()) return nullptr;
  std::unique_ptr<PostgresServer> out(new PostgresServer(programs, settings));
  if (geteuid() == 0) {  // the server refuses to run as root
    const passwd* user = getpwnam("postgres");
    if (user == nullptr || chown(out->folder_.path().c_str(), user->pw_uid, user->pw_gid) != 0) {
      return nullptr;
    }
  }
  const std::string data = (out->folder_ / "data").string();
  const bool made = out->run(programs / "initdb", {"-D", data, "-A", "trust", "-U", "coshard", "-E",
                                                   "UTF8", "--locale=C", "--no-sync"});
  return made && out->guard() && out->start_again() ? std::move(out) : nullptr;
}

PostgresServer::PostgresServer(Path programs, std::string settings)
    : programs_(std::move(programs)), settings_(std::move(settings)) {}

PostgresServer::~PostgresServer() {
  if (running_) stop_immediately();
}

/// A server outlives the test program that is killed; a shell that looks for the program ends it.
bool PostgresServer::guard() const {
  const std::string data = (folder_ / "data").string();
  const std::string watch = "while [ -d /proc/" + std::to_string(getpid()) +
                            " ]; do sleep 1; done; " + (programs_ / "pg_ctl").string() + " -D " +
                            data + " -m immediate stop; rm -rf " + data;
  return run("/bin/sh", {"-c", "setsid sh -c '" + watch + "' >/dev/null 2>&1 &"});
}

bool PostgresServer::run(const Path& program, const std::vector<std::string>& arguments) const {
  Spawn spawn{program, arguments, folder_ / "output", {}, {{"LC_ALL", "C"}}};
  if (geteuid() == 0) {
    spawn.arguments.insert(spawn.arguments.begin(), {"-u", "postgres", "--", spawn.program});
    spawn.program = "/usr/sbin/runuser";
  }
  ChildProcess child(spawn);
  const bool good = child.wait_exit(kPatience) == 0;
  if (!good) std::fprintf(stderr, "%s:\n%s\n", program.c_str(), child.output().c_str());
  return good;
}

bool PostgresServer::start_again() {
  const std::string options = "-c listen_addresses='' -c unix_socket_directories='" +
                              folder_.path().string() + "' -c max_connections=20 " + settings_;
  running_ = run(programs_ / "pg_ctl",
                 {"-D", (folder_ / "data").string(), "-l", (folder_ / "log").string(), "-w", "-t",
                  "50", "-o", options, "start"});
  return running_;
}

bool PostgresServer::stop_immediately() {
  running_ = false;
  return run(programs_ / "pg_ctl",
             {"-D", (folder_ / "data").string(), "-m", "immediate", "-w", "stop"});
}

std::string PostgresServer::url(const std::string& database) const {
  return "postgresql://coshard@/" + database + "?host=" + folder_.path().string();
}

std::string PostgresServer::new_database() {
  const std::string name = "log" + std::to_string(++databases_);
  auto connection = ledger::PgConnection::open(url("postgres"));
  if (!connection || !connection->run(("CREATE DATABASE " + name).c_str())) return "";
  return url(name);
}

}  // namespace coshard::test
