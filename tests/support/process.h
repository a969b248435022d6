// Real programs under test: started with their output in a file, watched through inotify and pidfd
// (never by sleeping), killed with the test. One thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace coshard::test {

using Path = std::filesystem::path;

/// A folder that lives as long as this object; kept when COSHARD_KEEP_TEMP is set.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const Path& path() const { return path_; }
  Path operator/(const std::string& name) const { return path_ / name; }

 private:
  Path path_;
};

std::string read_text(const Path& path);
void write_text(const Path& path, const std::string& text);
/// How often `part` is in `text`.
std::size_t count_of(const std::string& text, const std::string& part);

struct Spawn {
  Path program;
  std::vector<std::string> arguments;
  Path output;                              ///< stdout and stderr, appended
  std::optional<std::uint64_t> file_bytes;  ///< RLIMIT_FSIZE, with SIGXFSZ ignored: a full disk
  std::vector<std::pair<std::string, std::string>> environment;  ///< added to ours
};

class ChildProcess {
 public:
  explicit ChildProcess(const Spawn& spawn);
  ~ChildProcess();  ///< kill -9 and reap
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&&) = delete;

  int pid() const { return pid_; }
  bool running();
  /// Whether it was stopped (SIGSTOP) and not continued since.
  bool is_stopped() const;
  void signal(int number) const;
  /// From now on it can open nothing more: its limit of file descriptors is what it has open.
  void exhaust_descriptors() const;
  /// Exit status (128 + signal when killed), or nothing when it still runs at the deadline.
  std::optional<int> wait_exit(std::chrono::milliseconds limit);
  /// What it has written so far.
  std::string output() const { return read_text(output_); }
  const Path& output_file() const { return output_; }

 private:
  int pid_ = -1;
  int pid_fd_ = -1;
  std::optional<int> status_;
  Path output_;
};

/// Wakes when something below one of the watched folders changes (existing folders only).
class FolderWatch {
 public:
  explicit FolderWatch(const std::vector<Path>& folders);
  ~FolderWatch();
  FolderWatch(const FolderWatch&) = delete;
  FolderWatch& operator=(const FolderWatch&) = delete;
  /// Evaluates `condition` now and after every change; its last answer when the time is over.
  bool wait_until(const std::function<bool()>& condition, std::chrono::milliseconds limit);

 private:
  int fd_ = -1;
};

/// Waits until `file` contains `text`.
bool wait_for_text(const Path& file, const std::string& text, std::chrono::milliseconds limit);

}  // namespace coshard::test
