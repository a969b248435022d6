// See child_process.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/cli/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <deque>
#include <fstream>
#include <utility>

namespace coshard::cli {
namespace {

constexpr std::streamoff kTailBytesMax = 64 * 1024;

/// Between fork and exec: only calls that are safe there. Says on `report` what failed.
[[noreturn]] void become(const SpawnRequest& request, char* const* argv, pid_t parent, int report) {
  const auto give_up = [report] {
    const int error = errno;
    [[maybe_unused]] const auto told = write(report, &error, sizeof error);
    _exit(127);
  };
  setsid();
  if (request.dies_with_us) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(127);  // it ended before it could be watched
  }
  // We block signals to wait for them, and ignore SIGPIPE; the child must not inherit that.
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  const int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const int out = open(request.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (in < 0 || out < 0) give_up();
  if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0)
    give_up();
  execv(argv[0], argv);
  give_up();
  _exit(127);
}

/// What the child said before it became the program: 0 when it did.
int error_from(int report) {
  int error = 0;
  ssize_t got = 0;
  do {
    got = read(report, &error, sizeof error);
  } while (got < 0 && errno == EINTR);
  return got == sizeof error ? error : 0;
}

int decode(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

}  // namespace

Result<ChildProcess> ChildProcess::spawn(const SpawnRequest& request) {
  std::vector<std::string> words{request.program.string()};
  words.insert(words.end(), request.arguments.begin(), request.arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const auto failed = [&request](int error) {
    return fail(error == ENOENT ? ErrorCode::kNotFound : ErrorCode::kUnavailable,
                request.name + ": could not start " + request.program.string() +
                    " with its log in " + request.log.string() + ": " + std::strerror(error));
  };
  std::array<int, 2> report{};
  if (pipe2(report.data(), O_CLOEXEC) != 0) return failed(errno);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) become(request, argv.data(), parent, report[1]);
  const int fork_error = pid < 0 ? errno : 0;
  close(report[1]);
  const int error = pid < 0 ? fork_error : error_from(report[0]);
  close(report[0]);
  if (error != 0) {
    if (pid > 0) waitpid(pid, nullptr, 0);
    return failed(error);
  }
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
