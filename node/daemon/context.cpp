// Opening the node, step by step.
// SPDX-License-Identifier: Apache-2.0
#include "node/daemon/context.h"

#include <algorithm>

namespace coshard::node {

namespace {

/// What the device has, and no more than its owner gives.
std::uint64_t memory_for_a_stage(const NodeOptions& options, const shard::Device& device,
                                 const shard::DeviceProperties& properties) {
  const bool card = device.kind == shard::DeviceKind::kCuda;
  const std::uint64_t here = card ? properties.memory_bytes : available_memory_bytes();
  if (options.memory == 0 || here == 0) return std::max(options.memory, here);
  return std::min(options.memory, here);
}

}  // namespace

Result<std::unique_ptr<NodeContext>> open_node(const NodeOptions& options, World world) {
  auto context = std::make_unique<NodeContext>(options, std::move(world));
  NodeSetup& setup = context->setup;
  COSHARD_ASSIGN(setup.invitation, read_invitation(options.join));
  COSHARD_ASSIGN(const shard::Device device, shard::choose_device(options.device));
  COSHARD_ASSIGN(shard::DeviceKernels * kernels, shard::kernels_of(device));
  const shard::DeviceProperties properties = kernels->properties();
  COSHARD_ASSIGN(const auto passphrase, read_passphrase(options.passphrase_fd));
  COSHARD_ASSIGN(crypto::Identity identity, open_identity(options.key, passphrase));
  context->identity = std::make_unique<crypto::Identity>(std::move(identity));
  setup.directory = options.directory;
  setup.device_name = properties.name;
  setup.patience = std::chrono::seconds(options.patience);
  setup.site = {.directory = options.directory,
                .data = options.data,
                .checkpoints = options.checkpoints,
                .device = device,
                .threads = options.threads,
                .memory_bytes = memory_for_a_stage(options, device, properties),
                .flops_per_second = options.tflops > 0
                                        ? static_cast<std::uint64_t>(options.tflops * 1e12)
                                        : shard::measure_speed(device, options.threads)};
  renew_node(*context);
  return context;
}

void renew_node(NodeContext& context) {
  context.writer.reset();
  context.net.reset();
  context.engine.reset();
  context.transport.reset();
  context.reactor = std::make_unique<transport::Reactor>(context.world.clock);
  context.engine = std::make_unique<EngineThread>([raw = &context] {
    if (!raw->reactor->post([raw] { raw->net->engine_ready(); })) raw->reactor->wake();
  });
  // Refused once the reactor has stopped: then nobody waits for an answer.
  context.writer = std::make_unique<BulkThread>(
      "cs-save", limits::kSavesInHand, [raw = &context](BulkThread::Reply reply) {
        (void)raw->reactor->post([raw, reply = std::move(reply)] {
          reply();
          raw->net->engine_ready();
        });
      });
}

Result<void> open_network(NodeContext& context) {
  COSHARD_ASSIGN(const std::string listen, listen_endpoint(context.options.listen));
  COSHARD_ASSIGN(context.transport, context.world.make_transport(
                                        *context.reactor, *context.identity, {.listen = listen}));
  context.setup.endpoint =
      advertised_endpoint(context.transport->endpoint(), context.options.advertise);
  context.net = std::make_unique<NodeNet>(
      context.setup, NodeNet::Surroundings{*context.reactor, *context.transport, *context.identity,
                                           context.world.clock, *context.engine, *context.writer});
  context.net->start();
  return {};
}

}  // namespace coshard::node
