// coshard-node: opens what a node needs, in order, runs until the round is over, closes in reverse.
// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "node/daemon/context.h"
#include "node/logging.h"
#include "node/memory.h"
#include "node/net_host.h"
#include "protocol/base/failpoint.h"
#include "protocol/base/log.h"

namespace {

using namespace coshard;
using namespace coshard::node;

/// Who is asked to stop is gone within ten seconds: after the first time nothing is said any more,
/// after the second what still computes or writes is cut off. Files are complete or absent.
constexpr std::chrono::seconds kStopPatience{7}, kStopDeadline{9};

/// From now on the process lives for kStopDeadline at most.
void end_by_deadline() {
  std::signal(SIGALRM, [](int) {
    constexpr std::string_view kSaid = "coshard-node: stopped in the middle of its work\n";
    (void)!::write(STDERR_FILENO, kSaid.data(), kSaid.size());
    ::_exit(kExitDone);
  });
  ::alarm(kStopDeadline.count());
}

int refuse(const Error& error, int code) {
  std::fprintf(stderr, "coshard-node: %s\n", error.message.c_str());
  return code;
}

int conclude(const NodeOutcome& outcome, bool interrupted) {
  if (outcome.ended) std::fprintf(stderr, "coshard-node: %s\n", outcome.ended->text.c_str());
  if (interrupted) return kExitDone;
  if (!outcome.ended) return kExitInternal;
  const round::Ended& end = *outcome.ended;
  if (end.refused) return kExitRefused;
  if (end.reason == EndReason::kFinished) return kExitDone;
  return end.reason == EndReason::kInternal ? kExitInternal : kExitEndedEarly;
}

/// One life: from asking to be let in until the round is over, or over for this incarnation.
struct Life {
  int exit_code = kExitDone;
  bool again = false;
  bool at_once = false;  ///< and nothing is held against it
};

Life live(Signals& signals, NodeContext& context) {
  NetHost net;
  context.engine->start();
  context.writer->start();
  net.start(
      *context.reactor, signals, [&] { return open_network(context); },
      [&] { context.transport.reset(); });
  bool interrupted = false;
  Wake wake = signals.wait();
  while (wake != Wake::kThread) {
    if (interrupted) context.reactor->stop();  // a second signal, or patience is over
    if (wake == Wake::kSignal && !interrupted) {
      log(LogLevel::kInfo, "node", "asked to stop");
      end_by_deadline();
      (void)context.reactor->post([&] { context.net->leave("stopped by its operator"); });
    }
    interrupted = true;
    wake = signals.wait(kStopPatience);
  }
  net.join();
  context.engine->close();
  context.writer->close();  // what is being written is finished
  if (net.refusal()) return {refuse(*net.refusal(), kExitUsage)};
  if (net.failure()) return {refuse(*net.failure(), kExitInternal)};
  const NodeOutcome& outcome = context.net->outcome();
  const bool again = outcome.ended && outcome.ended->again && !interrupted;
  return {conclude(outcome, interrupted), again, again && outcome.ended->at_once};
}

/// A node that was fenced, or left behind while it joined, comes back as a new incarnation.
int run(Signals& signals, NodeContext& context) {
  auto wait = limits::kRejoinMin;
  for (;;) {
    const TimePoint began = context.world.clock.now();
    const Life life = live(signals, context);
    if (!life.again) return life.exit_code;
    if (life.at_once) {
      renew_node(context);
      continue;
    }
    if (context.world.clock.now() - began >= limits::kRejoinMax) wait = limits::kRejoinMin;
    log(LogLevel::kWarning, "node",
        "asks to be let in again in " + std::to_string(wait.count()) + " s");
    if (signals.wait(wait) == Wake::kSignal) return kExitDone;
    wait = std::min(2 * wait, limits::kRejoinMax);
    renew_node(context);
  }
}

}  // namespace

int main(int argc, char** argv) {
  keep_freed_memory();
  auto signals = Signals::block();
  if (!signals) return refuse(signals.error(), kExitInternal);
  if (const auto armed = arm_failpoints(std::getenv("COSHARD_FAILPOINTS")); !armed)
    return refuse(armed.error(), kExitUsage);
  const auto options = parse_node_options(argc, argv);
  if (!options) return refuse(options.error(), kExitUsage);
  if (!*options) return kExitDone;
  if (const auto made = prepare_directory((*options)->directory); !made)
    return refuse(made.error(), kExitUsage);
  if (const auto logging =
          start_logging({"node", (*options)->directory / "logs", (*options)->log_level});
      !logging)
    return refuse(logging.error(), kExitUsage);
  auto context = open_node(**options, real_world());
  const int code = context ? run(**signals, **context) : refuse(context.error(), kExitUsage);
  stop_logging();
  return code;
}
