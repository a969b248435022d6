// See child_process.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/cli/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <deque>
#include <fstream>
#include <utility>

namespace coshard::cli {
namespace {

constexpr std::streamoff kTailBytesMax = 64 * 1024;

/// What posix_spawn does in the child before the program starts.
class SpawnSetup {
 public:
  explicit SpawnSetup(const std::filesystem::path& log) {
    posix_spawn_file_actions_init(&files_);
    posix_spawn_file_actions_addopen(&files_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files_, STDOUT_FILENO, log.c_str(),
                                     O_WRONLY | O_CREAT | O_APPEND, 0644);
    posix_spawn_file_actions_adddup2(&files_, STDOUT_FILENO, STDERR_FILENO);
    posix_spawnattr_init(&attributes_);
    // We block signals to wait for them; the child must not inherit that.
    sigset_t none;
    sigemptyset(&none);
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &defaults);
    posix_spawnattr_setflags(&attributes_,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~SpawnSetup() {
    posix_spawn_file_actions_destroy(&files_);
    posix_spawnattr_destroy(&attributes_);
  }
  SpawnSetup(const SpawnSetup&) = delete;
  SpawnSetup& operator=(const SpawnSetup&) = delete;

  const posix_spawn_file_actions_t* files() const { return &files_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t files_;
  posix_spawnattr_t attributes_;
};

int decode(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

}  // namespace

Result<ChildProcess> ChildProcess::spawn(const SpawnRequest& request) {
  const SpawnSetup setup(request.log);
  std::vector<std::string> words{request.program.string()};
  words.insert(words.end(), request.arguments.begin(), request.arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t pid = -1;
  const int error = posix_spawn(&pid, request.program.c_str(), setup.files(), setup.attributes(),
                                argv.data(), environ);
  if (error != 0)
    return fail(error == ENOENT ? ErrorCode::kNotFound : ErrorCode::kUnavailable,
                request.name + ": could not start " + request.program.string() +
                    " with its log in " + request.log.string() + ": " + std::strerror(error));
  const auto pid_fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  return ChildProcess(request.name, request.log, pid, pid_fd);
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : name_(std::move(other.name_)),
      log_(std::move(other.log_)),
      pid_(std::exchange(other.pid_, -1)),
      pid_fd_(std::exchange(other.pid_fd_, -1)),
      status_(other.status_) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  if (this == &other) return *this;
  close_fd();
  name_ = std::move(other.name_);
  log_ = std::move(other.log_);
  pid_ = std::exchange(other.pid_, -1);
  pid_fd_ = std::exchange(other.pid_fd_, -1);
  status_ = other.status_;
  return *this;
}

ChildProcess::~ChildProcess() { close_fd(); }

void ChildProcess::close_fd() {
  if (pid_fd_ >= 0) close(std::exchange(pid_fd_, -1));
}

std::optional<int> ChildProcess::exit_status() {
  if (status_ || pid_ < 0) return status_;
  int raw = 0;
  if (waitpid(pid_, &raw, WNOHANG) == pid_) status_ = decode(raw);
  return status_;
}

std::optional<int> ChildProcess::wait_exit(std::chrono::milliseconds limit) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + limit;
  while (!exit_status()) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) break;
    pollfd end{pid_fd_, POLLIN, 0};
    if (poll(&end, 1, static_cast<int>(left)) < 0 && errno != EINTR) break;
  }
  return exit_status();
}

void ChildProcess::signal(int number) {
  if (!exit_status() && pid_ > 0) kill(pid_, number);
}

Result<std::filesystem::path> sibling_program(const std::string& name) {
  std::error_code ec;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", ec);
  const auto program = self.parent_path() / name;
  if (!ec && access(program.c_str(), X_OK) == 0) return program;
  return fail(ErrorCode::kNotFound, name + ": expected this program at " + program.string() +
                                        ", found none; build it, or install it next to coshard");
}

std::string describe_exit(int status) {
  if (status <= 128) return "exit status " + std::to_string(status);
  const int number = status - 128;
  return "signal " + std::to_string(number) + " (" + strsignal(number) + ")";
}

std::string log_tail(const std::filesystem::path& log, std::size_t lines) {
  std::ifstream in(log, std::ios::binary | std::ios::ate);
  if (!in) return {};
  in.seekg(std::max<std::streamoff>(0, in.tellg() - kTailBytesMax));
  std::deque<std::string> last;
  for (std::string line; std::getline(in, line);) {
    last.push_back(line);
    if (last.size() > lines) last.pop_front();
  }
  std::string text;
  for (const std::string& line : last) text += line + "\n";
  return text;
}

}  // namespace coshard::cli
