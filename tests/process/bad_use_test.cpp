// Each row of design 9 on the real programs: the message, the exit code, what is left on disk.
// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "tests/support/round_fixture.h"

namespace coshard::test {
namespace {

using std::chrono::seconds;

constexpr auto kPatience = seconds(120);

/// A TCP socket on loopback with a port of the kernel's.
class Socket {
 public:
  Socket() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {}
  ~Socket() { ::close(fd_); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  std::string listen() {
    sockaddr_in address = loopback(0);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(fd_, 1), 0);
    socklen_t size = sizeof address;
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    return std::to_string(ntohs(address.sin_port));
  }
  bool connect(int port) {
    sockaddr_in address = loopback(static_cast<std::uint16_t>(port));
    return ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  void say(const std::string& bytes) {
    (void)::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }

 private:
  static sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }
  int fd_;
};

struct Ended {
  int code = -1;
  std::string output;
};

Ended run_program(const RoundFixture& round, const std::string& name,
                  const std::vector<std::string>& arguments) {
  const Path output = round.path() / (name + "-bad.out");
  std::filesystem::remove(output);
  ChildProcess child({program(name), arguments, output, {}, {}});
  const auto code = child.wait_exit(kPatience);
  return {code.value_or(-1), child.output()};
}

std::vector<std::string> coordinator_arguments(const RoundFixture& round) {
  return {"--round", (round.path() / "round.toml").string(), "--dir",
          round.coordinator_dir().string()};
}

/// One line on standard error that has all of `parts`, and exit code 2.
void expect_refused(const Ended& ended, const std::vector<std::string>& parts) {
  EXPECT_EQ(ended.code, 2) << ended.output;
  for (const std::string& part : parts)
    EXPECT_NE(ended.output.find(part), std::string::npos) << part << " in\n" << ended.output;
  EXPECT_EQ(std::count(ended.output.begin(), ended.output.end(), '\n'), 1) << ended.output;
}

TEST(BadUse, AWrongFlagStartsNothing) {
  RoundFixture round({});
  const Path dir = round.path() / "fresh";
  expect_refused(run_program(round, "coshard-coordinator",
                             {"--round", "r.toml", "--dir", dir.string(), "--stepz", "1"}),
                 {"--stepz"});
  EXPECT_FALSE(std::filesystem::exists(dir));
  expect_refused(run_program(round, "coshard-node", {"--dir", dir.string()}), {"--join"});
  EXPECT_FALSE(std::filesystem::exists(dir));
}

TEST(BadUse, ATakenPortIsNamed) {
  RoundFixture round({});
  Socket holder;
  const std::string port = holder.listen();
  auto arguments = coordinator_arguments(round);
  arguments.insert(arguments.end(), {"--listen", "tcp://127.0.0.1:" + port});
  expect_refused(run_program(round, "coshard-coordinator", arguments), {port});
  arguments.back() = "tcp://127.0.0.1:0";
  arguments.insert(arguments.end(), {"--http", "127.0.0.1:" + port});
  expect_refused(run_program(round, "coshard-coordinator", arguments), {"--http", port});
}

TEST(BadUse, ADamagedShardIsRefusedByName) {
  RoundFixture round({});
  std::string shard = read_text(round.path() / "data/second.bin");
  shard[100] = static_cast<char>(shard[100] ^ 1);
  write_text(round.path() / "data/second.bin", shard);
  expect_refused(run_program(round, "coshard-coordinator", coordinator_arguments(round)),
                 {"second.bin"});
  EXPECT_FALSE(std::filesystem::exists(round.coordinator_dir() / "journal.sqlite"));
}

TEST(BadUse, AKeyThatOthersMayReadIsRefused) {
  RoundFixture round({});
  ASSERT_TRUE(round.start_coordinator());
  round.coordinator().signal(SIGTERM);
  ASSERT_TRUE(round.coordinator().wait_exit(kPatience).has_value());
  const Path key = round.coordinator_dir() / "coordinator.key";
  std::filesystem::permissions(key, std::filesystem::perms(0644));
  expect_refused(run_program(round, "coshard-coordinator", coordinator_arguments(round)),
                 {key.string()});
}

TEST(BadUse, ACorruptJournalAndAnotherRoundFileAreRefused) {
  RoundFixture round({});
  ASSERT_TRUE(round.start_coordinator());
  round.coordinator().signal(SIGKILL);
  ASSERT_TRUE(round.coordinator().wait_exit(kPatience).has_value());
  const Path file = round.path() / "round.toml";
  const std::string text = read_text(file);
  write_text(file, text + "# another file\n");
  expect_refused(run_program(round, "coshard-coordinator", coordinator_arguments(round)),
                 {"another round file"});
  write_text(file, text);
  const Path journal = round.coordinator_dir() / "journal.sqlite";
  write_text(journal, std::string(4096, 'x'));
  expect_refused(run_program(round, "coshard-coordinator", coordinator_arguments(round)),
                 {journal.string()});
}

TEST(BadUse, AnUnreachableCoordinatorIsNamedAndTriedAgain) {
  RoundFixture round({});
  std::string port;
  {
    Socket nobody;
    port = nobody.listen();
  }
  const std::string keys(64, 'a');
  write_text(round.coordinator_dir() / "invitation",
             "coshard://127.0.0.1:" + port + "/?node=" + keys + "&curve=" + keys + "\n");
  ChildProcess& node = round.start_node(0);
  ASSERT_TRUE(wait_for_text(node.output_file(),
                            "cannot reach the coordinator at tcp://127.0.0.1:" + port, kPatience))
      << node.output();
  EXPECT_TRUE(node.running());
  node.signal(SIGTERM);
  EXPECT_EQ(node.wait_exit(seconds(10)), 0) << node.output();
}

TEST(BadUse, ATornCheckpointIsNamedAndNotTrainedFrom) {
  RoundFixture round({.steps = 400, .epoch_steps = 2});
  ASSERT_TRUE(round.start_all());
  ASSERT_TRUE(round.wait_for_step(6, kPatience)) << round.outputs();
  round.coordinator().signal(SIGTERM);  // saves the last step
  ASSERT_EQ(round.coordinator().wait_exit(kPatience), 3) << round.outputs();
  for (std::size_t i = 0; i < 2; ++i) ASSERT_TRUE(round.node(i).wait_exit(kPatience).has_value());
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(round.node_dir(0) / "checkpoints"))
    if (entry.is_regular_file()) std::filesystem::resize_file(entry.path(), 1000);
  ASSERT_TRUE(round.start_all());
  const auto code = round.node(0).wait_exit(kPatience);
  ASSERT_TRUE(code.has_value()) << round.outputs();
  EXPECT_NE(code, 0);
  EXPECT_NE(round.node(0).output().find("of which this node holds no file"), std::string::npos)
      << round.outputs();
}

/// Strangers knock while a round runs: garbage, half-open connections, a foreign protocol.
TEST(BadUse, StrangersDoNotStopARound) {
  RoundFixture round({.steps = 30});
  ASSERT_TRUE(round.start_coordinator());
  const std::string endpoint = round.coordinator_field("endpoint");
  const int port = std::stoi(endpoint.substr(endpoint.rfind(':') + 1));
  std::vector<std::unique_ptr<Socket>> strangers;
  for (int i = 0; i < 50; ++i) {
    strangers.push_back(std::make_unique<Socket>());
    ASSERT_TRUE(strangers.back()->connect(port));
    if (i % 3 == 0) strangers.back()->say("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    if (i % 3 == 1) strangers.back()->say(std::string(100'000, '\xff'));
  }
  for (std::size_t i = 0; i < 2; ++i) round.start_node(i);
  ASSERT_TRUE(round.wait_for_step(5, kPatience)) << round.outputs();
  for (const auto& stranger : strangers) stranger->say(std::string(1000, '\0'));
  EXPECT_EQ(round.coordinator().wait_exit(kPatience), 0) << round.outputs();
}

/// Writes beyond a few kilobytes fail, as on a full disk: the file is named, no torn checkpoint is
/// left under its name, and the coordinator's count of checkpoints stays honest.
TEST(BadUse, AFullDiskIsNamedAndLeavesNoTornCheckpoint) {
  RoundFixture round({.steps = 400, .epoch_steps = 2});
  ASSERT_TRUE(round.start_coordinator());
  round.start_node(0);
  std::filesystem::create_directories(round.node_dir(1));
  ChildProcess node({program("coshard-node"),
                     {"--join", (round.coordinator_dir() / "invitation").string(), "--dir",
                      round.node_dir(1).string(), "--data", (round.path() / "data").string(),
                      "--device", "cpu", "--threads", "1"},
                     round.path() / "full.out",
                     20'000,
                     {}});
  EXPECT_EQ(round.coordinator().wait_exit(kPatience), 3) << round.outputs();
  EXPECT_NE(round.coordinator().output().find(".safetensors"), std::string::npos)
      << round.outputs();
  ASSERT_TRUE(node.wait_exit(kPatience).has_value());
  for (const auto& entry : std::filesystem::recursive_directory_iterator(round.node_dir(1)))
    EXPECT_NE(entry.path().extension(), ".safetensors") << entry.path();
}

}  // namespace
}  // namespace coshard::test
