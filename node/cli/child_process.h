// A program that we started: with its own session, so that a Ctrl-C in our terminal is ours to pass
// on, and its output in a file. Home thread: main.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "protocol/base/error.h"

namespace coshard::cli {

struct SpawnRequest {
  std::string name;  ///< for people, for example "node-1"
  std::filesystem::path program;
  std::vector<std::string> arguments;  ///< without the program's own name
  std::filesystem::path log;           ///< standard output and error are appended here
  bool dies_with_us = false;           ///< told to stop (SIGTERM) when the calling thread ends
};

class ChildProcess {
 public:
  /// kNotFound when the program is missing, kUnavailable when the system refuses.
  static Result<ChildProcess> spawn(const SpawnRequest& request);
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  /// Leaves the process alone: who wants it gone says so.
  ~ChildProcess();

  const std::string& name() const { return name_; }
  const std::filesystem::path& log() const { return log_; }
  int pid() const { return pid_; }

  /// The exit status (128 + signal when killed), or nothing while it runs. Does not wait.
  std::optional<int> exit_status();
  /// The same, after waiting for at most `limit`.
  std::optional<int> wait_exit(std::chrono::milliseconds limit);
  /// Nothing happens when it has ended.
  void signal(int number);

 private:
  ChildProcess(std::string name, std::filesystem::path log, int pid, int pid_fd)
      : name_(std::move(name)), log_(std::move(log)), pid_(pid), pid_fd_(pid_fd) {}
  void close_fd();

  std::string name_;
  std::filesystem::path log_;
  int pid_ = -1;
  int pid_fd_ = -1;
  std::optional<int> status_;
};

/// The program `name` in the folder of the running one. kNotFound with what to do.
Result<std::filesystem::path> sibling_program(const std::string& name);

/// "exit status 3" or "signal 9 (Killed)", of a status as above.
std::string describe_exit(int status);

/// The last `lines` lines of a text file; empty when it cannot be read.
std::string log_tail(const std::filesystem::path& log, std::size_t lines);

}  // namespace coshard::cli
