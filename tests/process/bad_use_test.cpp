// Each row of design 9 on the real programs: the message, the exit code, what is left on disk.
// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "tests/support/loopback.h"
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

/// Replaces words of the round file before anything is started.
void change_round_file(const RoundFixture& round,
                       const std::vector<std::pair<std::string, std::string>>& changes) {
  std::string text = read_text(round.path() / "round.toml");
  for (const auto& [from, to] : changes) {
    const std::size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
  }
  write_text(round.path() / "round.toml", text);
}

/// One line on standard error that has all of `parts`, and exit code 2.
void expect_refused(const Ended& ended, const std::vector<std::string>& parts) {
  EXPECT_EQ(ended.code, 2) << ended.output;
  for (const std::string& part : parts)
    EXPECT_NE(ended.output.find(part), std::string::npos) << part << " in\n" << ended.output;
  EXPECT_EQ(std::count(ended.output.begin(), ended.output.end(), '\n'), 1) << ended.output;
}

TEST(BadUse, AWrongFlagStartsNothing) {
  RoundFixture round(TinyRound{});
  const Path dir = round.path() / "fresh";
  expect_refused(run_program(round, "coshard-coordinator",
                             {"--round", "r.toml", "--dir", dir.string(), "--stepz", "1"}),
                 {"--stepz"});
  EXPECT_FALSE(std::filesystem::exists(dir));
  expect_refused(run_program(round, "coshard-node", {"--dir", dir.string()}), {"--join"});
  EXPECT_FALSE(std::filesystem::exists(dir));
}

TEST(BadUse, ATakenPortIsNamed) {
  RoundFixture round(TinyRound{});
  Socket holder;
  const std::string port = holder.listen();
  auto arguments = coordinator_arguments(round);
  arguments.insert(arguments.end(), {"--listen", "tcp://127.0.0.1:" + port});
  expect_refused(run_program(round, "coshard-coordinator", arguments),
                 {port, "the port is taken; choose another, or stop the program that has it"});
  arguments.back() = "tcp://127.0.0.1:0";
  arguments.insert(arguments.end(), {"--http", "127.0.0.1:" + port});
  expect_refused(run_program(round, "coshard-coordinator", arguments), {"--http", port});
}

TEST(BadUse, ADamagedShardIsRefusedByName) {
  RoundFixture round(TinyRound{});
  std::string shard = read_text(round.path() / "data/second.bin");
  shard[100] = static_cast<char>(shard[100] ^ 1);
  write_text(round.path() / "data/second.bin", shard);
  expect_refused(run_program(round, "coshard-coordinator", coordinator_arguments(round)),
                 {"second.bin"});
  EXPECT_FALSE(std::filesystem::exists(round.coordinator_dir() / "journal.sqlite"));
}

TEST(BadUse, AKeyThatOthersMayReadIsRefused) {
  RoundFixture round(TinyRound{});
  ASSERT_TRUE(round.start_coordinator());
  round.coordinator().signal(SIGTERM);
  ASSERT_TRUE(round.coordinator().wait_exit(kPatience).has_value());
  const Path key = round.coordinator_dir() / "coordinator.key";
  std::filesystem::permissions(key, std::filesystem::perms(0644));
  expect_refused(run_program(round, "coshard-coordinator", coordinator_arguments(round)),
                 {key.string()});
}

/// One bit of the last record's text, behind the tables: SQLite itself finds nothing wrong.
std::string with_a_bit_flipped(std::string file) {
  file.at(file.size() - 10) = static_cast<char>(file[file.size() - 10] ^ 1);
  return file;
}

TEST(BadUse, ACorruptJournalAndAnotherRoundFileAreRefused) {
  RoundFixture round(TinyRound{});
  ASSERT_TRUE(round.start_coordinator());
  round.coordinator().signal(SIGTERM);
  ASSERT_TRUE(round.coordinator().wait_exit(kPatience).has_value());
  const Path file = round.path() / "round.toml";
  const std::string text = read_text(file);
  write_text(file, text + "# another file\n");
  expect_refused(run_program(round, "coshard-coordinator", coordinator_arguments(round)),
                 {"another round file"});
  write_text(file, text);
  const Path journal = round.coordinator_dir() / "journal.sqlite";
  const std::string sound = read_text(journal);
  for (const std::string& damaged :
       {std::string(4096, 'x'), sound.substr(0, sound.size() - 500), with_a_bit_flipped(sound)}) {
    write_text(journal, damaged);
    expect_refused(run_program(round, "coshard-coordinator", coordinator_arguments(round)),
                   {journal.string(), "damaged", "restore it from a copy"});
    EXPECT_EQ(read_text(journal), damaged) << "evidence is left as it was found";
  }
  write_text(journal, sound);
  EXPECT_TRUE(round.start_coordinator()) << "a copy that was put back is gone on from";
}

TEST(BadUse, AnUnreachableCoordinatorIsNamedAndTriedAgain) {
  RoundFixture round(TinyRound{});
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

/// Retrying helps: the coordinator that was away comes back at its address, and the node is in.
TEST(BadUse, ACoordinatorThatComesBackIsJoinedWithoutAnybodysHelp) {
  RoundFixture round({.steps = 3});
  ASSERT_TRUE(round.start_coordinator());
  const std::string endpoint = round.coordinator_field("endpoint");
  round.coordinator().signal(SIGKILL);
  ASSERT_TRUE(round.coordinator().wait_exit(kPatience).has_value());
  round.start_node(0);
  ASSERT_TRUE(wait_for_text(round.node(0).output_file(),
                            "cannot reach the coordinator at " + endpoint, kPatience));
  EXPECT_NE(round.node(0).output().find("trying again; check that it runs"), std::string::npos);
  ASSERT_TRUE(round.start_coordinator({.flags = {"--listen", endpoint}})) << round.outputs();
  round.start_node(1);
  EXPECT_EQ(round.coordinator().wait_exit(kPatience), 0) << round.outputs();
  EXPECT_EQ(round.node(0).wait_exit(seconds(20)), 0) << round.outputs();
}

/// Nobody keeps what a stage's other replica has.
TEST(BadUse, ATornCheckpointIsNamedAndNotTrainedFrom) {
  RoundFixture round({.replicas = 2, .steps = 400, .epoch_steps = 2});
  ASSERT_TRUE(round.start_all());
  ASSERT_TRUE(round.wait_for_step(6, kPatience)) << round.outputs();
  round.coordinator().signal(SIGTERM);  // saves the last step
  ASSERT_EQ(round.coordinator().wait_exit(kPatience), 3) << round.outputs();
  for (std::size_t i = 0; i < 4; ++i) ASSERT_TRUE(round.node(i).wait_exit(kPatience).has_value());
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(round.node_dir(0) / "checkpoints"))
    if (entry.is_regular_file()) std::filesystem::resize_file(entry.path(), 1000);
  ASSERT_TRUE(round.start_all());
  EXPECT_EQ(round.node(0).wait_exit(kPatience), 4) << round.outputs();
  for (const std::string& part :
       {std::string("of which this node holds a damaged file: expected SHA-256 "),
        std::string(" of stage-"), std::string(".safetensors, found "),
        std::string("put back a sound copy")})
    EXPECT_NE(round.node(0).output().find(part), std::string::npos) << round.outputs();
  EXPECT_TRUE(round.coordinator().running()) << "the others' round waits for a sound one";
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
  ChildProcess& node = round.start_node(1, {.file_bytes = 20'000});
  EXPECT_EQ(round.coordinator().wait_exit(kPatience), 3) << round.outputs();
  EXPECT_NE(round.coordinator().output().find(".safetensors"), std::string::npos)
      << round.outputs();
  EXPECT_EQ(node.wait_exit(kPatience), 3) << "it would be sent away again" << node.output();
  for (const auto& entry : std::filesystem::recursive_directory_iterator(round.node_dir(1)))
    EXPECT_NE(entry.path().extension(), ".safetensors") << entry.path();
}

/// The coordinator's disk is full: it stops with the file's name, what it had published verifies,
/// and with room again the round goes on to its end, with the nodes that have waited for it.
TEST(BadUse, AFullDiskStopsTheCoordinatorCleanly) {
  RoundFixture round({.steps = 40, .epoch_steps = 2});
  ASSERT_TRUE(round.start_coordinator({.file_bytes = 200'000}));
  for (std::size_t i = 0; i < 2; ++i) round.start_node(i);
  EXPECT_EQ(round.coordinator().wait_exit(kPatience), 1) << round.outputs();
  const std::string said = round.coordinator().output();
  EXPECT_NE(said.find(round.coordinator_dir().string() + "/"), std::string::npos) << said;
  EXPECT_NE(said.find("free space on that disk and start again"), std::string::npos) << said;
  const std::uint64_t reached = round.metrics().empty() ? 0 : round.metrics().back().step;
  EXPECT_GT(reached, 2U);
  ASSERT_TRUE(round.start_coordinator()) << round.outputs();
  EXPECT_EQ(round.coordinator().wait_exit(kPatience), 0) << round.outputs();
  for (std::size_t i = 0; i < 2; ++i)
    EXPECT_EQ(round.node(i).wait_exit(kPatience), 0) << round.outputs();
  EXPECT_EQ(round.last_metrics().size(), 40U);
}

/// A stage that no machine holds: said before anything is allocated.
TEST(BadUse, AStageTooLargeForItsMachineIsNamedWithBothFigures) {
  RoundFixture round(TinyRound{});
  change_round_file(
      round, {{"hidden = 32", "hidden = 131072"}, {"ffn_hidden = 64", "ffn_hidden = 524288"}});
  ASSERT_TRUE(round.start_coordinator());
  EXPECT_EQ(round.start_node(0).wait_exit(kPatience), 4) << round.outputs();
  for (const char* part : {"too little memory: stage 0, ", " needs ", "this node has ",
                           "can use more stages, fewer microbatch_sequences"})
    EXPECT_NE(round.node(0).output().find(part), std::string::npos) << part << round.outputs();
  EXPECT_TRUE(round.coordinator().running()) << "it waits for a larger machine";
}

TEST(BadUse, CudaWithoutADeviceIsNamedWithWhatToDo) {
  if (std::filesystem::exists("/dev/nvidiactl")) GTEST_SKIP() << "this machine has an NVIDIA GPU";
  RoundFixture round(TinyRound{});
  ASSERT_TRUE(round.start_coordinator());
  const Path dir = round.path() / "fresh";
  expect_refused(run_program(round, "coshard-node",
                             {"--join", (round.coordinator_dir() / "invitation").string(), "--dir",
                              dir.string(), "--device", "cuda"}),
                 {"--device cpu trains without one"});
  EXPECT_FALSE(std::filesystem::exists(dir / "node.key"));
}

/// A learning rate with which activations leave every sensible range: said what was expected, what
/// was found and what to do; what is not finite is never applied, and after three updates that had
/// to be skipped nobody goes on burning power.
TEST(BadUse, ARoundThatExplodesPausesAndSaysWhy) {
  RoundFixture round({.steps = 400});
  change_round_file(round, {{"lr = 1e-2", "lr = 10.0"},
                            {"warmup = 2", "warmup = 0"},
                            {"clip_norm = 1.0", "clip_norm = 0.0"}});
  ASSERT_TRUE(round.start_all()) << round.outputs();
  ASSERT_TRUE(
      wait_for_text(round.coordinator().output_file(), "the round pauses: 3 updates", kPatience))
      << round.outputs();
  const std::string said = round.coordinator().output();
  for (const char* part : {"expected a root mean square up to 1000000", ", found ",
                           "a lower learning rate", "coshard round resume"})
    EXPECT_NE(said.find(part), std::string::npos) << part << " in\n" << said;
  round.coordinator().signal(SIGTERM);
  EXPECT_EQ(round.coordinator().wait_exit(kPatience), 3) << round.outputs();
  for (std::size_t i = 0; i < 2; ++i)
    EXPECT_TRUE(round.node(i).wait_exit(kPatience).has_value()) << round.outputs();
}

/// A clock that was never set: said on both sides, with what to do; training does not depend on it.
TEST(BadUse, AWrongClockIsNamedAndDoesNotStopARound) {
  const Path shift = COSHARD_WRONG_CLOCK;
  if (!std::filesystem::exists(shift)) GTEST_SKIP() << shift << " is not part of this build";
  RoundFixture round({.steps = 3});
  ASSERT_TRUE(round.start_coordinator());
  round.start_node(0);
  ChildProcess& node = round.start_node(1, {.environment = {{"LD_PRELOAD", shift.string()}}});
  EXPECT_EQ(round.coordinator().wait_exit(kPatience), 0) << round.outputs();
  EXPECT_EQ(node.wait_exit(seconds(20)), 0) << round.outputs();
  for (const char* part : {"this machine's clock is wrong: expected a time after ", "found 1970-",
                           "set it (timedatectl set-ntp true)"})
    EXPECT_NE(node.output().find(part), std::string::npos) << part << " in\n" << node.output();
  EXPECT_EQ(round.node(0).wait_exit(seconds(20)), 0) << round.outputs();
  EXPECT_EQ(round.node(0).output().find("clock is wrong"), std::string::npos);
}

}  // namespace
}  // namespace coshard::test
