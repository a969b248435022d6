// Peers that hold valid keys and say false things to the real programs: what they say is refused
// and counted, costs no memory, ends in being dropped by name, and changes nothing that is trained.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "crypto/secret_file.h"
#include "crypto/signed_payload.h"
#include "tests/support/bad_frames.h"
#include "tests/support/hostile_node.h"
#include "tests/support/round_reference.h"

namespace coshard::test {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;
using SteadyClock = std::chrono::steady_clock;
using Counts = std::map<std::string, std::uint64_t>;

constexpr auto kPatience = seconds(120);
constexpr std::uint64_t kMebibyte = 1024 * 1024;

std::uint64_t peak_bytes(int pid) {
  std::istringstream status(read_text("/proc/" + std::to_string(pid) + "/status"));
  for (std::string word; status >> word;)
    if (word == "VmHWM:" && status >> word) return std::stoull(word) * 1024;
  return 0;
}

/// The coordinator's HTTP side.
class Console {
 public:
  explicit Console(const RoundFixture& round)
      : client_("http://" + round.coordinator_field("http")),
        token_(read_text(round.coordinator_dir() / "control.token")) {
    token_.pop_back();
  }
  bool post(const std::string& path) {
    const auto answer =
        client_.Post(path.c_str(), {{"Authorization", "Bearer " + token_}}, "", "text/plain");
    return answer && answer->status < 300;
  }
  nlohmann::json status() {
    const auto answer = client_.Get("/status");
    return answer ? nlohmann::json::parse(answer->body, nullptr, false) : nlohmann::json();
  }
  /// Samples of frames_refused_total.
  Counts refused() {
    Counts counts;
    const auto answer = client_.Get("/metrics");
    std::istringstream text(answer ? answer->body : "");
    const std::string start = "coshard_frames_refused_total{reason=\"";
    for (std::string line; std::getline(text, line);) {
      if (!line.starts_with(start)) continue;
      const std::size_t end = line.find('"', start.size());
      counts[line.substr(start.size(), end - start.size())] =
          std::stoull(line.substr(line.find(' ')));
    }
    return counts;
  }
  /// Asks until the answer is right. For moments only: what takes longer is waited for by files.
  bool wait_for(const std::function<bool()>& condition) {
    const auto deadline = SteadyClock::now() + kPatience;
    while (!condition())
      if (SteadyClock::now() > deadline) return false;
    return true;
  }

 private:
  httplib::Client client_;
  std::string token_;
};

/// What was sent to each receiver that it must refuse.
class Tally {
 public:
  void add(const NodeId& to, const std::vector<BadFrame>& bad) {
    const std::lock_guard lock(mutex_);
    for (const BadFrame& one : bad) ++counts_[to][one.reason];
  }
  Counts of(const NodeId& to) const {
    const std::lock_guard lock(mutex_);
    const auto found = counts_.find(to);
    return found == counts_.end() ? Counts{} : found->second;
  }

 private:
  mutable std::mutex mutex_;
  std::map<NodeId, Counts> counts_;
};

std::uint64_t sum(const Counts& counts) {
  std::uint64_t total = 0;
  for (const auto& [reason, count] : counts) total += count;
  return total;
}

/// Each reason as often as it was given; those that are chance ("") only in the sum.
void expect_counted(Counts counted, const Counts& sent, const std::string& by) {
  for (const auto& [reason, count] : sent) {
    if (!reason.empty()) {
      EXPECT_GE(counted[reason], count) << reason << ", counted by " << by;
    }
  }
  EXPECT_EQ(sum(counted), sum(sent)) << "counted by " << by;
}

bool is_boundary_tensor(const wire::Frame& frame) {
  const auto kind = wire::peek(frame).value().kind;
  return kind == wire::MessageKind::kForwardTensor || kind == wire::MessageKind::kBackwardTensor;
}
bool is_unit_report(const wire::Frame& frame) {
  return wire::peek(frame).value().kind == wire::MessageKind::kUnitReport;
}

NodeId coordinator_id(const RoundFixture& round) {
  return NodeId{to_array<32>(*from_hex(round.coordinator_field("node_id"))).value()};
}

/// Two stages of one replica: node 0 is a real program, node 1 is ours. Who asks first gets stage
/// 0.
struct HostileRound : RoundFixture {
  using RoundFixture::RoundFixture;
  std::unique_ptr<HostileNode> hostile;

  ::testing::AssertionResult start(bool hostile_first, const Mischief& mischief) {
    // Who is dropped for good is not waited for.
    if (!start_coordinator({.flags = {"--stage-patience", "0"}}))
      return ::testing::AssertionFailure();
    const auto join = [&](bool ours) {
      if (ours)
        hostile = std::make_unique<HostileNode>(*this, 1, mischief);
      else
        start_node(0);
    };
    join(hostile_first);
    const std::size_t first = hostile_first ? 1 : 0;
    FolderWatch watch({node_dir(first)});
    if (!watch.wait_until([&] { return node_status(first, "stage") == "0"; }, kPatience))
      return ::testing::AssertionFailure() << outputs();
    join(!hostile_first);
    return ::testing::AssertionSuccess();
  }
};

class HostileMember : public ::testing::TestWithParam<bool> {};

/// Everything false at once, below the limit of faults: refused and counted by each receiver for
/// what it is; every step commits; what was trained is bit for bit what an honest round trains.
TEST_P(HostileMember, IsRefusedAndCountedAndTheRunGoesOn) {
  Tally tally;
  std::set<NodeId> attacked;  // on the hostile node's cs-net, as the next one
  std::uint64_t units = 0;
  HostileRound round({.steps = 40});
  ASSERT_TRUE(round.start(
      GetParam(), [&](const crypto::Identity& self, const NodeId& to, const wire::Frame& honest) {
        std::vector<wire::Frame> leaving{honest};
        if (is_unit_report(honest)) ++units;
        const bool tensor = is_boundary_tensor(honest);
        if (units < 20 || attacked.contains(to) || (!tensor && !is_unit_report(honest)))
          return leaving;
        attacked.insert(to);
        std::vector<BadFrame> bad = bad_envelopes(self, honest);
        if (tensor) std::ranges::move(bad_tensors(self, honest), std::back_inserter(bad));
        EXPECT_LE(bad.size(), limits::kPeerFaultsMax + 2) << "two of them are merely stale";
        tally.add(to, bad);
        for (BadFrame& one : bad) leaving.push_back(std::move(one.frame));
        return leaving;
      }));
  Console console(round);
  ASSERT_TRUE(round.wait_for_step(3, kPatience)) << round.outputs();
  const std::uint64_t coordinator_before = peak_bytes(round.coordinator().pid());
  const std::uint64_t node_before = peak_bytes(round.node(0).pid());
  ASSERT_TRUE(round.wait_for_step(25, kPatience)) << round.outputs();
  ASSERT_TRUE(console.post("/pause"));
  ASSERT_TRUE(console.wait_for([&] { return console.status()["state"] == "paused"; }));
  const Counts sent = tally.of(coordinator_id(round));
  EXPECT_GT(sum(sent), 20U);
  expect_counted(console.refused(), sent, "the coordinator");
  const auto status = console.status();
  for (const auto& node : status["nodes"]) {
    const bool guilty = node["node"] == round.hostile->id().hex();
    EXPECT_EQ(node["faults"], guilty ? sum(sent) - sent.at("incarnation") : 0)
        << "what one says is not held against another";
  }
  EXPECT_LT(peak_bytes(round.coordinator().pid()) - coordinator_before, 16 * kMebibyte);
  EXPECT_LT(peak_bytes(round.node(0).pid()) - node_before, 32 * kMebibyte);
  ASSERT_TRUE(console.post("/resume"));

  EXPECT_EQ(round.coordinator().wait_exit(kPatience), 0) << round.outputs();
  EXPECT_EQ(round.node(0).wait_exit(seconds(20)), 0) << round.outputs();
  round.hostile->join();
  const NodeId neighbour{to_array<32>(*from_hex(round.node_status(0, "node"))).value()};
  const auto refused = nlohmann::json::parse(round.node_status(0, "refused"));
  expect_counted(refused.get<Counts>(), tally.of(neighbour), "its neighbour");
  EXPECT_GT(sum(tally.of(neighbour)), 20U);
  expect_same_bits(round, reference_run(round.round(), round.manifest()));
  expect_verified(round);
}
INSTANTIATE_TEST_SUITE_P(Stage, HostileMember, ::testing::Values(true, false),
                         [](const auto& suite) { return suite.param ? "First" : "Last"; });

/// One fault more than the limit: dropped and named, and what was committed can be gone on from.
void expect_dropped(bool by_coordinator) {
  bool attacked = false;
  HostileRound round({.steps = 400, .epoch_steps = 2});
  ASSERT_TRUE(
      round.start(true, [&](const crypto::Identity&, const NodeId&, const wire::Frame& honest) {
        // It does not complain itself: then the first to complain would be chance.
        if (wire::peek(honest).value().kind == wire::MessageKind::kPeerComplaint)
          return std::vector<wire::Frame>{};
        std::vector<wire::Frame> leaving{honest};
        if (attacked || !(by_coordinator ? is_unit_report(honest) : is_boundary_tensor(honest)))
          return leaving;
        attacked = true;
        for (BadFrame& bad : unsigned_frames(honest, limits::kPeerFaultsMax + 1))
          leaving.push_back(std::move(bad.frame));
        return leaving;
      }));
  EXPECT_EQ(round.coordinator().wait_exit(kPatience), 3) << round.outputs();
  EXPECT_EQ(round.node(0).wait_exit(seconds(20)), 3) << round.outputs();
  const std::string said = round.coordinator().output();
  const std::string hostile = round.hostile->id().hex();
  EXPECT_THAT(said, HasSubstr("broke the protocol too often, last: envelope refused (signature)"));
  if (by_coordinator) {
    EXPECT_THAT(said, HasSubstr("lost node " + hostile + " (stage 0, replica 0)"));
  } else {
    const std::string honest = round.node_status(0, "node").substr(0, 8);
    EXPECT_THAT(said, HasSubstr("node " + honest + " (stage 1, replica 0) cannot work with node " +
                                round.hostile->id().short_hex() + " (stage 0, replica 0)"));
  }
  EXPECT_THAT(said, HasSubstr("it can go on from step "));
  expect_verified(round);
}
TEST(HostileLimit, TheCoordinatorDropsWhoBreaksTheProtocolTooOften) { expect_dropped(true); }
TEST(HostileLimit, ANodeDropsANeighbourThatBreaksTheProtocolTooOften) { expect_dropped(false); }

/// A payload beyond what the coordinator carries ends the connection before it is held.
TEST(HostileLimit, AMessageBeyondTheLimitIsNeverHeld) {
  std::atomic<bool> large = false;
  bool attacked = false;
  HostileRound round({.steps = 400});
  ASSERT_TRUE(
      round.start(true, [&](const crypto::Identity&, const NodeId&, const wire::Frame& honest) {
        std::vector<wire::Frame> leaving{honest};
        if (!is_unit_report(honest) || !large || attacked) return leaving;
        attacked = true;
        wire::Frame frame = honest;
        frame.payloads = {share(Bytes(limits::kPayloadBytesMax / 2))};
        leaving.push_back(std::move(frame));
        return leaving;
      }));
  ASSERT_TRUE(round.wait_for_step(3, kPatience)) << round.outputs();
  const std::uint64_t before = peak_bytes(round.coordinator().pid());
  std::uint64_t after = before;
  large = true;
  // The last look before it is gone: its peak only grows.
  while (!round.coordinator().wait_exit(std::chrono::milliseconds(5)))
    after = std::max(after, peak_bytes(round.coordinator().pid()));
  EXPECT_EQ(round.coordinator().wait_exit(kPatience), 3) << round.outputs();
  EXPECT_LT(after - before, 2 * limits::kControlPayloadBytesMax);
  EXPECT_THAT(round.coordinator().output(),
              HasSubstr("lost node " + round.hostile->id().hex() + " (stage 0, replica 0)"));
}

// ---- tensors that are what they claim to be, and wrong ------------------------------------------

struct Poison {
  const char* name;
  std::function<void(TensorHeader&, Bytes&)> change;
  const char* said;
};

Bytes repeated(float value, std::size_t bytes) {
  Bytes out;
  while (out.size() < bytes) put_le(out, std::bit_cast<std::uint32_t>(value));
  return out;
}

class HostileTensor : public ::testing::TestWithParam<Poison> {};

/// The true sender of an activation sends poison in its place: refused, both named, nothing of it
/// trained; the round ends with what was committed before.
TEST_P(HostileTensor, IsRefusedByNameAndNeverTrained) {
  HostileRound round({.steps = 400, .epoch_steps = 2});
  ASSERT_TRUE(round.start(true, [&](const crypto::Identity& self, const NodeId&,
                                    const wire::Frame& honest) {
    const auto kind = wire::peek(honest).value().kind;
    if (kind != wire::MessageKind::kForwardTensor) return std::vector{honest};
    const Letter letter = read_letter(honest);
    ForwardTensor message = std::get<ForwardTensor>(letter.message);
    if (message.unit.step < StepId(5)) return std::vector{honest};
    Bytes bytes = *letter.payloads[0].bytes;
    GetParam().change(message.tensor, bytes);
    return std::vector{rewritten(self, letter, message, {wire::hashed(share(std::move(bytes)))})};
  }));
  EXPECT_EQ(round.coordinator().wait_exit(kPatience), 3) << round.outputs();
  EXPECT_EQ(round.node(0).wait_exit(seconds(20)).value_or(-1), 1) << round.outputs();
  const std::string said = round.coordinator().output();
  const std::string honest = round.node_status(0, "node").substr(0, 8);
  EXPECT_THAT(said, HasSubstr("node " + honest + " (stage 1, replica 0) refused microbatch "));
  EXPECT_THAT(said, HasSubstr(" from node " + round.hostile->id().short_hex() + " (stage 0"));
  EXPECT_THAT(said, HasSubstr(GetParam().said));
  EXPECT_THAT(said, HasSubstr("it can go on from step 4"));
  EXPECT_EQ(round.last_metrics().size(), 4U);
  for (const MetricsLine& line : round.last_metrics()) EXPECT_TRUE(std::isfinite(line.loss));
  expect_verified(round);
}
INSTANTIATE_TEST_SUITE_P(
    Poison, HostileTensor,
    ::testing::Values(
        Poison{"NotFinite",
               [](TensorHeader&, Bytes& bytes) {
                 bytes = repeated(std::numeric_limits<float>::quiet_NaN(), bytes.size());
               },
               "not finite"},
        Poison{"Absurd", [](TensorHeader&, Bytes& bytes) { bytes = repeated(1e9F, bytes.size()); },
               "expected a root mean square up to"},
        Poison{
            "Misshapen",
            [](TensorHeader& tensor, Bytes&) { std::swap(tensor.shape.at(1), tensor.shape.at(2)); },
            "expected shape"}),
    [](const auto& suite) { return suite.param.name; });

class HostileChunk : public ::testing::TestWithParam<wire::MessageKind> {};

/// A replica whose chunks have a false size: its partner stops averaging with it and says why, the
/// coordinator fences the one that is blamed, and the round goes on without it.
TEST_P(HostileChunk, CostsItsSenderTheSeat) {
  HostileRound round({.stages = 1, .replicas = 2, .steps = 40, .epoch_steps = 2});
  ASSERT_TRUE(round.start(
      true, [&](const crypto::Identity& self, const NodeId&, const wire::Frame& honest) {
        if (wire::peek(honest).value().kind != GetParam()) return std::vector{honest};
        const Letter letter = read_letter(honest);
        Bytes bytes = *letter.payloads[0].bytes;
        bytes.resize(bytes.size() - sizeof(float));
        return std::vector{
            rewritten(self, letter, letter.message, {wire::hashed(share(std::move(bytes)))})};
      }));
  EXPECT_EQ(round.coordinator().wait_exit(kPatience), 0) << round.outputs();
  EXPECT_EQ(round.node(0).wait_exit(seconds(20)), 0) << round.outputs();
  EXPECT_EQ(round.metrics().size(), 40U);
  const std::string said = round.coordinator().output();
  EXPECT_THAT(said, HasSubstr(" (stage 0, replica 1) cannot work with node " +
                              round.hostile->id().short_hex() + " (stage 0, replica 0): chunk "));
  EXPECT_THAT(said, HasSubstr(" bytes, found "));
  expect_verified(round);
}
INSTANTIATE_TEST_SUITE_P(Chunk, HostileChunk,
                         ::testing::Values(wire::MessageKind::kGradientChunk,
                                           wire::MessageKind::kAveragedChunk),
                         [](const auto& suite) { return std::string(wire::name_of(suite.param)); });

// ---- strangers with valid keys ------------------------------------------------------------------

/// A peer with keys of its own that nobody admitted; runs on the test's thread.
class Stranger {
 public:
  explicit Stranger(const transport::PeerAddress& peer)
      : peer_(peer),
        transport_(transport::make_zmq_transport(reactor_, identity_, {.listen = ""}).value()) {
    transport_->set_event_handler([this](const transport::PeerEvent& event) {
      connected_ = event.kind == transport::PeerEventKind::kConnected;
      failed_ = failed_ || event.kind == transport::PeerEventKind::kUnreachable;
    });
    transport_->set_handler([this](const NodeId&, const wire::Frame& frame) {
      answers_.push_back(wire::peek(frame).value().kind);
    });
    COSHARD_CHECK(transport_->connect(peer).has_value());
  }
  bool wait(const std::function<bool()>& condition) {
    const auto deadline = SteadyClock::now() + kPatience;
    while (!condition() && SteadyClock::now() < deadline)
      reactor_.run_once(std::chrono::milliseconds(20));
    return condition();
  }
  bool connected() const { return connected_; }
  bool failed() const { return failed_; }
  void send(const wire::Frame& frame) {
    ASSERT_TRUE(wait([&] {
      return transport_->bytes_in_flight(peer_.node) + frame.size_bytes() <
             limits::kBytesInFlightMax;
    }));
    EXPECT_TRUE(transport_->send(peer_.node, frame));
  }
  const crypto::Identity& identity() const { return identity_; }
  const std::vector<wire::MessageKind>& answers() const { return answers_; }
  std::size_t in_flight() const { return transport_->bytes_in_flight(peer_.node); }

 private:
  SystemClock clock_;
  crypto::Identity identity_ = crypto::Identity::generate();
  transport::Reactor reactor_{clock_};
  transport::PeerAddress peer_;
  std::unique_ptr<transport::Transport> transport_;
  bool connected_ = false;
  bool failed_ = false;
  std::vector<wire::MessageKind> answers_;
};

wire::Frame join_request(const Stranger& stranger, const NodeId& to, Bytes certificate) {
  wire::Sealer sealer(stranger.identity().operating(), crypto::kNoNetwork, Incarnation(0));
  const wire::Payload payload = wire::hashed(share(std::move(certificate)));
  return sealer.seal(to, JoinRequest{"tcp://127.0.0.1:1", "x", "cpu", 0, 0, {}}, {&payload, 1})
      .value();
}

transport::PeerAddress address_of(const RoundFixture& round) {
  return {coordinator_id(round), round.coordinator_field("endpoint"),
          to_array<32>(*from_hex(round.coordinator_field("curve_public"))).value()};
}

/// Frames of a member, captured and said again by a stranger with valid keys of its own; requests
/// to join with somebody else's certificate or no signature; a flood of the largest messages.
TEST(HostileStranger, GetsNothingFromTheCoordinatorButARefusal) {
  std::mutex mutex;
  std::vector<wire::Frame> captured;  // what the member said to the coordinator
  HostileRound round({.steps = 60});
  ASSERT_TRUE(
      round.start(true, [&](const crypto::Identity&, const NodeId&, const wire::Frame& frame) {
        const std::lock_guard lock(mutex);
        if (is_unit_report(frame) && captured.size() < 100) captured.push_back(frame);
        return std::vector{frame};
      }));
  ASSERT_TRUE(round.wait_for_step(5, kPatience)) << round.outputs();
  Console console(round);
  ASSERT_TRUE(console.post("/pause"));
  const std::uint64_t before = peak_bytes(round.coordinator().pid());
  Stranger stranger(address_of(round));
  ASSERT_TRUE(stranger.wait([&] { return stranger.connected(); }));
  Counts sent;
  {
    const std::lock_guard lock(mutex);
    for (const wire::Frame& frame : captured) stranger.send(frame);
    sent["not_admitted"] += captured.size();
  }
  const NodeId to = coordinator_id(round);
  stranger.send(join_request(stranger, to, crypto::Identity::generate().certificate().encode()));
  ++sent["not_admitted"];
  const wire::Frame honest = join_request(stranger, to, stranger.identity().certificate().encode());
  wire::Frame unsigned_request = honest;
  unsigned_request.signature = {};
  for (int i = 0; i < 40; ++i) stranger.send(unsigned_request);
  sent["signature"] += 40;
  wire::Frame heavy = honest;
  heavy.payloads = {share(Bytes(limits::kControlPayloadBytesMax))};
  for (int i = 0; i < 64; ++i) stranger.send(heavy);
  sent["frame"] += 64;
  stranger.send(honest);
  ASSERT_TRUE(stranger.wait([&] { return !stranger.answers().empty(); })) << round.outputs();
  EXPECT_EQ(stranger.answers().back(), wire::MessageKind::kRefused);
  ASSERT_TRUE(console.wait_for([&] { return sum(console.refused()) >= sum(sent); }));
  Counts counted = console.refused();
  std::erase_if(counted, [](const auto& entry) { return entry.second == 0; });
  EXPECT_EQ(counted, sent);
  // 512 MiB were sent.
  EXPECT_LT(peak_bytes(round.coordinator().pid()) - before, 16 * limits::kControlPayloadBytesMax);
  ASSERT_TRUE(console.post("/resume"));
  EXPECT_EQ(round.coordinator().wait_exit(kPatience), 0) << round.outputs();
  EXPECT_EQ(round.node(0).wait_exit(seconds(20)), 0) << round.outputs();
  round.hostile->join();
  EXPECT_EQ(round.last_metrics().size(), 60U);
}

/// A node talks to members only: a stranger does not get through the handshake.
TEST(HostileStranger, DoesNotGetThroughANodesHandshake) {
  RoundFixture round({.steps = 100});
  ASSERT_TRUE(round.start_all());
  ASSERT_TRUE(round.wait_for_step(2, kPatience)) << round.outputs();
  Console console(round);
  ASSERT_TRUE(console.post("/pause"));
  const auto status = console.status();
  const auto identity = crypto::load_identity(round.node_dir(0) / "node.key", std::nullopt);
  ASSERT_TRUE(identity.has_value());
  for (const auto& node : status["nodes"]) {
    if (node["node"] != identity->node().hex()) continue;
    Stranger stranger({identity->node(), node["endpoint"], identity->curve().public_key()});
    EXPECT_TRUE(stranger.wait([&] { return stranger.failed(); }));
    EXPECT_FALSE(stranger.connected());
  }
  ASSERT_TRUE(console.post("/resume"));
  EXPECT_EQ(round.coordinator().wait_exit(kPatience), 0) << round.outputs();
  EXPECT_EQ(round.node(0).wait_exit(seconds(20)), 0) << round.outputs();
  const auto refused = nlohmann::json::parse(round.node_status(0, "refused")).get<Counts>();
  EXPECT_EQ(refused.size(), 1U);
  EXPECT_GE(refused.at("transport_key"), 1U);
}

}  // namespace
}  // namespace coshard::test
