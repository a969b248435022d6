// SPDX-License-Identifier: Apache-2.0
#include "tests/support/hostile_node.h"

#include "protocol/base/check.h"

namespace coshard::test {

namespace {

/// Passes everything on but what is sent: that goes through the mischief first.
class MischievousTransport final : public transport::Transport {
 public:
  MischievousTransport(std::unique_ptr<Transport> inner, const crypto::Identity& self,
                       Mischief mischief)
      : inner_(std::move(inner)), self_(self), mischief_(std::move(mischief)) {}

  Result<void> send(const NodeId& to, wire::Frame frame) override {
    for (wire::Frame& leaving : mischief_(self_, to, frame))
      COSHARD_TRY(inner_->send(to, std::move(leaving)));
    return {};
  }

  void set_handler(transport::FrameHandler handler) override {
    inner_->set_handler(std::move(handler));
  }
  void set_event_handler(transport::PeerEventHandler handler) override {
    inner_->set_event_handler(std::move(handler));
  }
  Result<void> connect(const transport::PeerAddress& peer) override {
    return inner_->connect(peer);
  }
  void disconnect(const NodeId& peer) override { inner_->disconnect(peer); }
  void allow(const NodeId& peer, const crypto::CurveKey& key) override { inner_->allow(peer, key); }
  void revoke(const NodeId& peer) override { inner_->revoke(peer); }
  void set_admission(transport::Admission admission) override { inner_->set_admission(admission); }
  std::size_t bytes_in_flight(const NodeId& peer) const override {
    return inner_->bytes_in_flight(peer);
  }
  bool connected(const NodeId& peer) const override { return inner_->connected(peer); }
  std::string endpoint() const override { return inner_->endpoint(); }
  const transport::TransportCounters& counters() const override { return inner_->counters(); }
  Result<void> close() override { return inner_->close(); }

 private:
  std::unique_ptr<Transport> inner_;
  const crypto::Identity& self_;
  const Mischief mischief_;
};

node::NodeOptions options_for(const RoundFixture& round, std::size_t index) {
  node::NodeOptions options;
  options.join = (round.coordinator_dir() / "invitation").string();
  options.directory = round.node_dir(index);
  options.key = options.directory / "node.key";
  options.data = round.path() / "data";
  options.checkpoints = options.directory / "checkpoints";
  options.device = "cpu";
  options.threads = 1;
  options.tflops = 0.01;
  return options;
}

}  // namespace

HostileNode::HostileNode(const RoundFixture& round, std::size_t index, Mischief mischief) {
  std::filesystem::create_directories(round.node_dir(index));
  node::World world = node::real_world();
  world.make_transport =
      [mischief](
          transport::Reactor& reactor, const crypto::Identity& identity,
          const transport::ZmqOptions& options) -> Result<std::unique_ptr<transport::Transport>> {
    COSHARD_ASSIGN(auto inner, transport::make_zmq_transport(reactor, identity, options));
    return std::unique_ptr<transport::Transport>(
        std::make_unique<MischievousTransport>(std::move(inner), identity, mischief));
  };
  auto context = node::open_node(options_for(round, index), std::move(world));
  COSHARD_CHECK_OP(context ? "" : context.error().message, ==, "");
  context_ = std::move(*context);
  context_->engine->start();
  context_->writer->start();
  net_ = std::thread([this] {
    const auto opened = node::open_network(*context_);
    COSHARD_CHECK_OP(opened ? "" : opened.error().message, ==, "");
    context_->reactor->run();
    context_->transport.reset();
  });
}

HostileNode::~HostileNode() {
  context_->reactor->stop();
  join();
}

void HostileNode::join() {
  if (net_.joinable()) net_.join();
  context_->engine->close();
  context_->writer->close();
}

}  // namespace coshard::test
