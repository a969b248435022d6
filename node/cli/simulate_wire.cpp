// See simulate_wire.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/cli/simulate_wire.h"

#include <ctime>

#include "crypto/identity.h"

namespace coshard::cli {
namespace {

const NodeId kReceiver{{1}};
const NetworkId kNetwork{{1}};
constexpr const char* kEndpoint = "tcp://203.0.113.107:46001";

/// The message as it travels: boxes of the simulation have neither addresses nor certificates.
Message dressed(const Message& message) {
  const auto* table = std::get_if<MembershipTable>(&message);
  if (table == nullptr) return message;
  MembershipTable full = *table;
  for (Member& member : full.members) {
    member.endpoint = kEndpoint;
    member.certificate.assign(crypto::NodeCertificate::kEncodedBytes, 1);
  }
  return full;
}

}  // namespace

TimePoint ThreadCpuClock::now() const {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return TimePoint(std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec));
}

std::uint64_t ThreadCpuClock::wall_ms() const { return SystemClock().wall_ms(); }

SealedWire::SealedWire(const Clock& cpu)
    : cpu_(cpu), sealer_(keys_, kNetwork, Incarnation(1), Generation(1)) {}

/// A message that is too long for one envelope (there is a limit, and the forecast names it) costs
/// what encoding it costs.
wire::Frame SealedWire::seal(const Message& message) {
  if (auto frame = sealer_.seal(kReceiver, message)) return *std::move(frame);
  wire::Frame frame;
  if (auto body = wire::encode(message)) frame.header = *std::move(body);
  return frame;
}

sim::MessageCost SealedWire::sent(const Message& message) {
  const Message whole = dressed(message);
  const TimePoint begin = cpu_.now();
  const wire::Frame frame = seal(whole);
  return {frame.size_bytes(), seconds(cpu_.now() - begin)};
}

sim::MessageCost SealedWire::received(const Message& message) {
  const wire::Frame frame = seal(message);
  wire::SenderState state{Incarnation(1), false, std::nullopt, {}};
  wire::OpenPolicy policy;
  policy.network = kNetwork;
  policy.receiver = kReceiver;
  policy.sender = [&](const NodeId&) { return &state; };
  wire::RefusalCounters refusals;
  const TimePoint begin = cpu_.now();
  const auto opened = wire::open(frame, policy, refusals);
  (void)opened;  // it is our own, of the kinds that a node says
  return {frame.size_bytes(), seconds(cpu_.now() - begin)};
}

std::uint64_t table_bytes_per_member() {
  const auto bytes = [](std::uint8_t members) {
    MembershipTable table;
    for (std::uint8_t i = 0; i < members; ++i)
      table.members.push_back(
          {NodeId{{1, i}}, StageIndex(1), ReplicaIndex(200), Incarnation(1), "", {}});
    return wire::encode(dressed(table)).value_or(Bytes{}).size();
  };
  return bytes(101) - bytes(100);
}

}  // namespace coshard::cli
