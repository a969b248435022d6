// fork + exec, pidfd and inotify.
// SPDX-License-Identifier: Apache-2.0
#include "tests/support/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <utility>

#include "protocol/base/check.h"

namespace coshard::test {

namespace {

using SteadyClock = std::chrono::steady_clock;

int left_ms(SteadyClock::time_point deadline) {
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline - SteadyClock::now()).count();
  return left > 0 ? static_cast<int>(left) : 0;
}

// Runs between fork and exec: only calls that are safe there.
[[noreturn]] void become(const Spawn& spawn, char* const* arguments, int output_fd) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  dup2(output_fd, STDOUT_FILENO);
  dup2(output_fd, STDERR_FILENO);
  if (spawn.file_bytes) {
    const rlimit limit{*spawn.file_bytes, *spawn.file_bytes};
    setrlimit(RLIMIT_FSIZE, &limit);
    std::signal(SIGXFSZ, SIG_IGN);
  }
  for (const auto& [name, value] : spawn.environment) setenv(name.c_str(), value.c_str(), 1);
  execv(spawn.program.c_str(), arguments);
  std::perror(spawn.program.c_str());
  _exit(127);
}

}  // namespace

TempDir::TempDir() {
  std::string pattern = (std::filesystem::temp_directory_path() / "coshard-XXXXXX").string();
  COSHARD_CHECK(mkdtemp(pattern.data()) != nullptr);
  path_ = pattern;
}

TempDir::~TempDir() {
  std::error_code ignored;
  if (std::getenv("COSHARD_KEEP_TEMP") == nullptr) std::filesystem::remove_all(path_, ignored);
}

std::string read_text(const Path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

void write_text(const Path& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << text;
  COSHARD_CHECK(out.good());
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++count;
  return count;
}

ChildProcess::ChildProcess(const Spawn& spawn) : output_(spawn.output) {
  std::vector<std::string> words{spawn.program.string()};
  words.insert(words.end(), spawn.arguments.begin(), spawn.arguments.end());
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const int output_fd = ::open(output_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  COSHARD_CHECK(output_fd >= 0);
  pid_ = fork();
  COSHARD_CHECK(pid_ >= 0);
  if (pid_ == 0) become(spawn, arguments.data(), output_fd);
  ::close(output_fd);
  pid_fd_ = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  COSHARD_CHECK(pid_fd_ >= 0);
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      pid_fd_(std::exchange(other.pid_fd_, -1)),
      status_(other.status_),
      output_(std::move(other.output_)) {}

ChildProcess::~ChildProcess() {
  if (pid_ < 0) return;
  if (running()) {
    signal(SIGKILL);
    wait_exit(std::chrono::seconds(10));
  }
  ::close(pid_fd_);
}

bool ChildProcess::running() { return !wait_exit(std::chrono::milliseconds(0)).has_value(); }

bool ChildProcess::is_stopped() const {
  siginfo_t changed{};
  constexpr int kLook = WSTOPPED | WNOHANG | WNOWAIT;
  return waitid(P_PID, static_cast<id_t>(pid_), &changed, kLook) == 0 && changed.si_pid == pid_;
}

void ChildProcess::signal(int number) const { ::kill(pid_, number); }

void ChildProcess::exhaust_descriptors() const {
  const Path open = Path("/proc") / std::to_string(pid_) / "fd";
  rlim_t lowest_free = RLIM_INFINITY;
  for (int sample = 0; sample < 3; ++sample) {  // one may be open for a moment only
    rlim_t fd = 0;
    while (std::filesystem::is_symlink(open / std::to_string(fd))) ++fd;
    lowest_free = std::min(lowest_free, fd);
  }
  const rlimit limit{lowest_free, lowest_free};
  COSHARD_CHECK(prlimit(pid_, RLIMIT_NOFILE, &limit, nullptr) == 0);
}

std::optional<int> ChildProcess::wait_exit(std::chrono::milliseconds limit) {
  if (status_) return status_;
  pollfd ended{pid_fd_, POLLIN, 0};
  const auto deadline = SteadyClock::now() + limit;
  while (::poll(&ended, 1, left_ms(deadline)) < 0 && errno == EINTR) {
  }
  int raw = 0;
  if (waitpid(pid_, &raw, WNOHANG) != pid_) return std::nullopt;
  status_ = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
  return status_;
}

FolderWatch::FolderWatch(const std::vector<Path>& folders)
    : fd_(inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
  COSHARD_CHECK(fd_ >= 0);
  constexpr std::uint32_t kChanges = IN_CREATE | IN_MODIFY | IN_MOVED_TO | IN_CLOSE_WRITE;
  for (const Path& folder : folders)
    COSHARD_CHECK(inotify_add_watch(fd_, folder.c_str(), kChanges) >= 0);
}

FolderWatch::~FolderWatch() { ::close(fd_); }

bool FolderWatch::wait_until(const std::function<bool()>& condition,
                             std::chrono::milliseconds limit) {
  const auto deadline = SteadyClock::now() + limit;
  std::array<char, 16 * 1024> events;
  while (!condition()) {
    const int left = left_ms(deadline);
    if (left == 0) return condition();
    pollfd changed{fd_, POLLIN, 0};
    ::poll(&changed, 1, left);
    while (::read(fd_, events.data(), events.size()) > 0) {
    }
  }
  return true;
}

bool wait_for_text(const Path& file, const std::string& text, std::chrono::milliseconds limit) {
  FolderWatch watch({file.parent_path()});
  return watch.wait_until([&] { return read_text(file).find(text) != std::string::npos; }, limit);
}

}  // namespace coshard::test
