// A failpoint strikes at the passage that was ordered and at no other; orders that make no sense
// are refused with the names that there are.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/base/failpoint.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>

namespace coshard {
namespace {

constexpr int kPassages = 5;

/// A process that arms itself, passes "tensor.send" five times, and writes a byte before each.
struct Struck {
  explicit Struck(const char* orders) {
    int pipe_ends[2];
    EXPECT_EQ(::pipe(pipe_ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      if (!arm_failpoints(orders)) ::_exit(1);
      for (int i = 0; i < kPassages; ++i) {
        if (::write(pipe_ends[1], "x", 1) != 1) ::_exit(2);
        COSHARD_FAILPOINT("tensor.send");
        COSHARD_FAILPOINT("update.half");
      }
      ::_exit(0);
    }
    EXPECT_EQ(::waitpid(child, &status, WUNTRACED), child);
    stopped = WIFSTOPPED(status);
    if (stopped) {
      ::kill(child, SIGCONT);
      EXPECT_EQ(::waitpid(child, &status, 0), child);
    }
    ::close(pipe_ends[1]);
    char byte;
    while (::read(pipe_ends[0], &byte, 1) == 1) ++begun;
    ::close(pipe_ends[0]);
  }
  int status = 0;
  bool stopped = false;
  int begun = 0;  ///< passages, in all
};

TEST(Failpoint, KillsAtTheOrderedPassage) {
  const Struck struck("tensor.send=kill@3");
  ASSERT_TRUE(WIFSIGNALED(struck.status));
  EXPECT_EQ(WTERMSIG(struck.status), SIGKILL);
  EXPECT_EQ(struck.begun, 3);
}

TEST(Failpoint, StopsAndGoesOnWhenContinued) {
  const Struck struck("backward.begin=kill@1,update.half=stop@2");
  EXPECT_TRUE(struck.stopped);
  ASSERT_TRUE(WIFEXITED(struck.status));
  EXPECT_EQ(WEXITSTATUS(struck.status), 0);
  EXPECT_EQ(struck.begun, kPassages);
}

TEST(Failpoint, AsksToStop) {
  const Struck struck("tensor.send=term@2");
  ASSERT_TRUE(WIFSIGNALED(struck.status));
  EXPECT_EQ(WTERMSIG(struck.status), SIGTERM);
  EXPECT_EQ(struck.begun, 2);
}

/// A process that waits, and the file that says which one it is.
struct Bystander {
  Bystander() : pid(::fork()) {
    if (pid == 0)
      for (;;) ::pause();
    name_it();
  }
  ~Bystander() {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    std::filesystem::remove(file);
    std::filesystem::remove(file + ".taken");
  }
  /// Writes the file, which who strikes takes away.
  void name_it() const { std::ofstream(file) << pid << "\n"; }
  /// Its next change of state.
  int change() const {
    int status = 0;
    EXPECT_EQ(::waitpid(pid, &status, WUNTRACED), pid);
    return status;
  }
  const std::string file = testing::TempDir() + "bystander-" + std::to_string(::getpid()) + ".pid";
  const pid_t pid;
};

TEST(Failpoint, StrikesAnotherProcessAndGoesOn) {
  const Bystander other;
  const Struck passing(
      ("update.half=stop@2:" + other.file + ",tensor.send=kill@9:" + other.file).c_str());
  ASSERT_TRUE(WIFEXITED(passing.status));
  EXPECT_EQ(WEXITSTATUS(passing.status), 0);
  EXPECT_EQ(passing.begun, kPassages);
  EXPECT_TRUE(WIFSTOPPED(other.change()));
  other.name_it();
  const Struck again(("tensor.send=kill@5:" + other.file).c_str());
  EXPECT_TRUE(WIFEXITED(again.status));
  const int status = other.change();
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
}

TEST(Failpoint, OnlyTheFirstOfSeveralStrikesAnotherProcess) {
  const Bystander other;
  const std::string orders = "tensor.send=stop@2:" + other.file;
  const Struck first(orders.c_str());
  EXPECT_TRUE(WIFSTOPPED(other.change()));
  ::kill(other.pid, SIGCONT);
  const Struck second(orders.c_str());
  for (const Struck* passing : {&first, &second}) {
    ASSERT_TRUE(WIFEXITED(passing->status));
    EXPECT_EQ(WEXITSTATUS(passing->status), 0);
    EXPECT_EQ(passing->begun, kPassages);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(other.pid, &status, WUNTRACED | WNOHANG), 0) << "struck again: " << status;
}

TEST(Failpoint, AnOrderWithNobodyToStrikeIsABug) {
  const Struck struck("tensor.send=kill@2:/nonexistent/pid");
  ASSERT_TRUE(WIFSIGNALED(struck.status));
  EXPECT_EQ(WTERMSIG(struck.status), SIGABRT);
}

TEST(Failpoint, AFileThatNamesNoProcessThatLivesIsABug) {
  const std::string file = testing::TempDir() + "nobody-" + std::to_string(::getpid()) + ".pid";
  const pid_t gone = ::fork();
  if (gone == 0) ::_exit(0);
  ASSERT_EQ(::waitpid(gone, nullptr, 0), gone);
  for (const std::string& text : {std::to_string(gone), std::string("nobody"), std::string("0")}) {
    std::ofstream(file) << text << "\n";
    const Struck struck(("tensor.send=kill@2:" + file).c_str());
    ASSERT_TRUE(WIFSIGNALED(struck.status)) << text;
    EXPECT_EQ(WTERMSIG(struck.status), SIGABRT);
  }
  std::filesystem::remove(file + ".taken");
}

TEST(Failpoint, DoesNothingBeyondWhatWasOrdered) {
  for (const char* orders : {static_cast<const char*>(nullptr), "tensor.send=kill@6"}) {
    const Struck struck(orders);
    ASSERT_TRUE(WIFEXITED(struck.status));
    EXPECT_EQ(WEXITSTATUS(struck.status), 0);
    EXPECT_EQ(struck.begun, kPassages);
  }
}

TEST(Failpoint, OrdersThatMakeNoSenseAreRefusedWithTheNames) {
  for (const std::string text :
       {"", "tensor.send", "tensor.send=kill", "tensor.send@3", "tensor.send=kill@", "=kill@1",
        "tensor.send=kill@0", "tensor.send=kill@-1", "tensor.send=kill@1x", "tensor.send=die@1",
        "tensor.sent=kill@1", "tensor.send=kill@99999999999999999999", "tensor.send=kill@1,",
        "tensor@send=kill", " tensor.send=kill@1", "tensor.send=kill@1:", "tensor.send=kill@:/pid",
        "tensor.send=kill@1/pid"}) {
    const auto orders = parse_failpoints(text);
    ASSERT_FALSE(orders.has_value()) << text;
    EXPECT_EQ(orders.error().code, ErrorCode::kInvalidArgument);
    for (const std::string_view name : kFailpoints)
      EXPECT_NE(orders.error().message.find(name), std::string::npos) << orders.error().message;
  }
}

}  // namespace
}  // namespace coshard
