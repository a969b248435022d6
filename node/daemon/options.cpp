// The one file of coshard-node that sees CLI11.
// SPDX-License-Identifier: Apache-2.0
#include "node/daemon/options.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <thread>

#include "node/logging.h"
#include "node/startup.h"

namespace coshard::node {

Result<std::optional<NodeOptions>> parse_node_options(int argc, char** argv) {
  NodeOptions options;
  std::string level = "info";
  CLI::App app("coshard-node: holds one stage of a model, trains it with others, signs receipts.");
  app.set_version_flag("--version", std::string(kSoftwareVersion));
  app.add_option("--join", options.join, "invitation of the coordinator, or a file with it")
      ->required();
  app.add_option("--dir", options.directory, "folder for key, checkpoints, status")->required();
  app.add_option("--key", options.key, "key file (default: DIR/node.key, made if missing)");
  app.add_option("--data", options.data, "folder of the token shards (default: DIR/data)");
  app.add_option("--checkpoints", options.checkpoints, "folder (default: DIR/checkpoints)");
  app.add_option("--listen", options.listen, "where other nodes connect")->capture_default_str();
  app.add_option("--advertise", options.advertise, "HOST:PORT that other nodes are to dial");
  app.add_option("--device", options.device, "auto, cpu or cuda")->capture_default_str();
  app.add_option("--threads", options.threads, "threads that compute (default: all cores)");
  app.add_option("--memory", options.memory,
                 "bytes that a stage may take, such as 6GiB (default: what the device has free)")
      ->transform(CLI::AsSizeValue(false));
  app.add_option("--tflops", options.tflops,
                 "what this box counts as, in 1e12 operations per second (default: measured)")
      ->check(CLI::Range(0.0, 1e6));
  app.add_option("--patience", options.patience,
                 "seconds to go on asking for a coordinator that is away before giving up")
      ->capture_default_str();
  app.add_option("--passphrase-fd", options.passphrase_fd, "file descriptor with the passphrase");
  app.add_option("--log-level", level, "debug, info, warning or error")->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& request) {
    app.exit(request, std::cout, std::cerr);
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    return fail(ErrorCode::kInvalidArgument, std::string(error.what()) + "; see --help");
  }
  COSHARD_ASSIGN(options.log_level, parse_log_level(level));
  if (options.threads < 0 || options.threads > limits::kThreadsMax)
    return fail(ErrorCode::kInvalidArgument, "--threads: expected 1 to " +
                                                 std::to_string(limits::kThreadsMax) + ", found " +
                                                 std::to_string(options.threads));
  if (options.patience < 1)
    return fail(ErrorCode::kInvalidArgument, "--patience: expected 1 or more seconds, found " +
                                                 std::to_string(options.patience));
  if (options.threads == 0)
    options.threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  if (options.key.empty()) options.key = options.directory / "node.key";
  if (options.data.empty()) options.data = options.directory / "data";
  if (options.checkpoints.empty()) options.checkpoints = options.directory / "checkpoints";
  return options;
}

}  // namespace coshard::node
