// Keys in the right order, two proxies, and an invitation that leads to one of them.
// SPDX-License-Identifier: Apache-2.0
#include "tests/support/bad_links.h"

#include <algorithm>

#include "crypto/secret_file.h"
#include "protocol/base/check.h"

namespace coshard::test {

namespace {

constexpr std::uint64_t kSeed = 11;
constexpr std::string_view kScheme = "coshard://";

std::uint16_t port_in(const std::string& endpoint) {
  return static_cast<std::uint16_t>(std::stoi(endpoint.substr(endpoint.rfind(':') + 1)));
}

std::string loopback(std::uint16_t port) { return "127.0.0.1:" + std::to_string(port); }

}  // namespace

void write_keys(const RoundFixture& round, const std::vector<std::size_t>& smallest) {
  std::vector<std::size_t> nodes = smallest;
  for (std::size_t i = 0; i < round.seats(); ++i)
    if (std::find(smallest.begin(), smallest.end(), i) == smallest.end()) nodes.push_back(i);
  std::vector<crypto::Identity> identities;
  for (std::size_t i = 0; i < nodes.size(); ++i) identities.push_back(crypto::Identity::generate());
  std::sort(identities.begin(), identities.end(),
            [](const auto& one, const auto& other) { return one.node() < other.node(); });
  for (std::size_t i = 0; i < nodes.size(); ++i)
    COSHARD_CHECK(
        crypto::save_identity(round.node_dir(nodes[i]) / "node.key", identities[i], std::nullopt)
            .has_value());
}

BadLinks::BadLinks(const RoundFixture& round)
    : round_(round),
      peers_(port_.number(), kSeed),
      home_(port_in(round.coordinator_field("endpoint")), kSeed + 1) {}

Handicap BadLinks::handicap() const {
  Handicap handicap;
  handicap.flags = {"--listen", "tcp://" + loopback(port_.number()), "--advertise",
                    loopback(peers_.port())};
  const std::string own = read_text(round_.coordinator_dir() / "invitation");
  handicap.invitation =
      std::string(kScheme) + loopback(home_.port()) + own.substr(own.find('/', kScheme.size()));
  handicap.invitation.resize(handicap.invitation.find('\n'));
  return handicap;
}

void BadLinks::set_peers(const LinkFaults& out, const LinkFaults& in) {
  peers_.set(Toward::kDialler, out);
  peers_.set(Toward::kListener, in);
}

void BadLinks::set_home(const LinkFaults& out, const LinkFaults& in) {
  home_.set(Toward::kListener, out);
  home_.set(Toward::kDialler, in);
}

bool BadLinks::wait_for_torn(std::chrono::milliseconds limit) const {
  return peers_.wait_until([](const auto& counters) { return counters.torn > 0; }, limit);
}

void BadLinks::reset_peers() { peers_.reset(); }

FaultProxy::Counters BadLinks::counters() const {
  const FaultProxy::Counters peers = peers_.counters(), home = home_.counters();
  return {{peers.bytes[0] + home.bytes[0], peers.bytes[1] + home.bytes[1]},
          peers.connections + home.connections,
          peers.late + home.late,
          peers.damaged + home.damaged,
          peers.cut + home.cut,
          peers.torn + home.torn};
}

}  // namespace coshard::test
