// A PostgreSQL server of the test program's own: made in a temporary folder, on a Unix socket and
// no port, stopped with the program. One thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "tests/support/process.h"

namespace coshard::test {

class PostgresServer {
 public:
  /// The program's one server, started when first asked for; nullptr when this box has none
  /// (`why_not` says it).
  static PostgresServer* shared();
  static const char* why_not() {
    return "no PostgreSQL server under /usr/lib/postgresql: apt-get install postgresql";
  }

  /// A server of its own; nullptr as above. `settings`: "-c fsync=off" and the like.
  static std::unique_ptr<PostgresServer> start(const std::string& settings = "");
  ~PostgresServer();
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  /// The URL of a new, empty database.
  std::string new_database();
  std::string url(const std::string& database) const;
  /// Dies as if the power had failed, for the processes.
  bool stop_immediately();
  bool start_again();

 private:
  PostgresServer(Path programs, std::string settings);
  bool run(const Path& program, const std::vector<std::string>& arguments) const;
  bool guard() const;

  TempDir folder_;
  Path programs_;
  std::string settings_;
  int databases_ = 0;
  bool running_ = false;
};

}  // namespace coshard::test
