// Opening, turning and closing.
// SPDX-License-Identifier: Apache-2.0
#include "tests/swarm/swarm.h"

#include "protocol/base/check.h"

namespace coshard::test {

namespace {

constexpr std::chrono::milliseconds kTurn{1};

/// As between boxes of one city; frames of different senders overtake each other.
constexpr transport::MemLinkOptions kLinks{.delay_min = std::chrono::microseconds(200),
                                           .delay_max = std::chrono::milliseconds(9)};

/// An address of its own for each program.
std::string endpoint(std::size_t host) { return "tcp://10.0.0." + std::to_string(host) + ":4600"; }

template <class T>
T must(Result<T> result) {
  COSHARD_CHECK_OP(result.has_value() ? "" : result.error().message, ==, "");
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

}  // namespace

Swarm::Swarm(const TinyRound& round, std::uint64_t seed)
    : random_(seed), folder_(round), network_(clock_, seed, kLinks) {
  clock_.advance(std::chrono::hours(24));
}

Swarm::~Swarm() = default;

node::World Swarm::world() {
  return {clock_, [this](transport::Reactor&, const crypto::Identity& self,
                         const transport::ZmqOptions& options) {
            return network_.attach(
                {self.node(), self.curve().public_key()}, options.listen,
                {options.admission, options.payload_bytes_max, options.bytes_in_flight_max});
          }};
}

void Swarm::start() {
  nodes_.clear();
  frozen_.clear();
  coordinator_.reset();
  open_coordinator();
  for (std::size_t i = 0; i < folder_.seats(); ++i) nodes_.push_back(open_node(i));
}

void Swarm::open_coordinator() {
  const Path directory = folder_.coordinator_dir();
  node::CoordinatorOptions options;
  options.round = folder_.path() / "round.toml";
  options.directory = directory;
  options.key = directory / "coordinator.key";
  options.listen = endpoint(1);
  options.stage_patience = 0;  // a lost stage ends the round
  coordinator_ = must(node::open_coordinator(options, world()));
  must(node::open_network(*coordinator_));
}

std::unique_ptr<node::NodeContext> Swarm::open_node(std::size_t index) {
  const Path directory = folder_.node_dir(index);
  must(node::prepare_directory(directory));
  node::NodeOptions options;
  options.join = (folder_.coordinator_dir() / "invitation").string();
  options.directory = directory;
  options.key = directory / "node.key";
  options.data = folder_.path() / "data";
  options.checkpoints = directory / "checkpoints";
  options.listen = endpoint(index + 2);
  options.device = "cpu";
  options.threads = 1;
  options.tflops = 0.01;
  auto context = must(node::open_node(options, world()));
  must(node::open_network(*context));
  return context;
}

void Swarm::kill(std::size_t node) { nodes_.at(node).reset(); }

void Swarm::freeze(std::size_t node) {
  nodes_.at(node)->transport->set_handler([](const NodeId&, const wire::Frame&) {});
  frozen_.push_back(std::move(nodes_.at(node)));
}

void Swarm::open(std::size_t node) {
  if (nodes_.size() <= node) nodes_.resize(node + 1);
  nodes_[node] = open_node(node);
}

/// As the daemon's main does.
void Swarm::come_again(node::NodeContext& node) {
  const auto& ended = node.net->outcome().ended;
  if (!ended || !ended->again) return;
  node::renew_node(node);
  must(node::open_network(node));
}

void Swarm::turn() {
  network_.run_for(kTurn);
  if (coordinator_->transport) {
    coordinator_->reactor->run_once(Duration::zero());
    while (coordinator_->ledger_thread->run_one()) {
    }
    if (coordinator_->reactor->is_stopped()) coordinator_->transport.reset();
  }
  for (const auto& node : nodes_) {
    if (!node || !node->transport) continue;
    node->engine->run_one();
    node->writer->run_one();
    node->reactor->run_once(Duration::zero());
    if (!node->reactor->is_stopped()) continue;
    node->transport.reset();
    come_again(*node);
  }
}

bool Swarm::is_over() const {
  const auto lives = [](const auto& node) { return node && node->transport; };
  return !coordinator_->transport && std::none_of(nodes_.begin(), nodes_.end(), lives);
}

bool Swarm::run_until(const std::function<bool()>& condition, Duration limit) {
  const TimePoint end = clock_.now() + limit;
  while (!condition() && clock_.now() < end) turn();
  return condition();
}

bool Swarm::run_to_end(Duration limit) {
  if (!run_until([this] { return is_over(); }, limit)) return false;
  // cs-ledger works off and settles what is left on a thread of its own, while this one waits.
  coordinator_->ledger_thread->start();
  coordinator_->ledger_thread->close();
  coordinator_->http->close();
  return true;
}

}  // namespace coshard::test
