// coshard-coordinator: opens what the round needs, in order, runs it, and closes in reverse.
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <cstdlib>

#include "ledger/store/place.h"
#include "node/coordinator/context.h"
#include "node/logging.h"
#include "node/net_host.h"
#include "protocol/base/failpoint.h"

namespace {

using namespace coshard;
using namespace coshard::node;

int refuse(const Error& error, int code) {
  std::fprintf(stderr, "coshard-coordinator: %s\n", error.message.c_str());
  return code;
}

/// What is said last, and the exit code that goes with it.
int conclude(const CoordinatorOutcome& outcome, const std::string& resume_command) {
  if (outcome.error) return refuse(*outcome.error, kExitInternal);
  if (!outcome.finished) return kExitInternal;
  const round::RoundFinished& end = *outcome.finished;
  if (end.reason == EndReason::kFinished) {
    std::fprintf(stderr, "coshard-coordinator: finished after step %llu\n",
                 static_cast<unsigned long long>(end.last_step.value));
    return kExitDone;
  }
  std::fprintf(stderr, "coshard-coordinator: the round ended early after step %llu: %s\n",
               static_cast<unsigned long long>(end.last_step.value), end.text.c_str());
  for (const std::string& lost : outcome.lost)
    std::fprintf(stderr, "coshard-coordinator: lost %s\n", lost.c_str());
  std::fprintf(
      stderr,
      "coshard-coordinator: it can go on from step %llu: start the nodes again, and\n  %s\n",
      static_cast<unsigned long long>(end.resumable_step.value), resume_command.c_str());
  return kExitEndedEarly;
}

int run(Signals& signals, CoordinatorContext& context) {
  NetHost net;
  context.ledger_thread->start();
  net.start(
      *context.reactor, signals, [&] { return open_network(context); },
      [&] { context.transport.reset(); });
  bool asked = false;
  for (Wake wake = signals.wait(); wake != Wake::kThread; wake = signals.wait()) {
    if (asked) {  // a second signal: the operator does not want to wait
      context.reactor->stop();
      continue;
    }
    asked = true;
    (void)context.reactor->post([&] { context.net->control(round::ControlVerb::kStop); });
  }
  net.join();
  context.ledger_thread->close();
  if (context.http) context.http->close();
  if (net.refusal()) return refuse(*net.refusal(), kExitUsage);
  if (net.failure()) return refuse(*net.failure(), kExitInternal);
  return conclude(context.net->outcome(), context.resume_command);
}

int move_ledger(const std::filesystem::path& directory, const std::string& place) {
  const auto moved = ledger::move_store_to(directory, place);
  stop_logging();
  if (!moved) return refuse(moved.error(), kExitUsage);
  std::fprintf(stderr, "coshard-coordinator: the ledger is in the store %s now\n", place.c_str());
  return kExitDone;
}

}  // namespace

int main(int argc, char** argv) {
  auto signals = Signals::block();
  if (!signals) return refuse(signals.error(), kExitInternal);
  if (const auto armed = arm_failpoints(std::getenv("COSHARD_FAILPOINTS")); !armed)
    return refuse(armed.error(), kExitUsage);
  const auto options = parse_coordinator_options(argc, argv);
  if (!options) return refuse(options.error(), kExitUsage);
  if (!*options) return kExitDone;
  if (const auto made = prepare_directory((*options)->directory); !made)
    return refuse(made.error(), kExitUsage);
  if (const auto logging =
          start_logging({"coordinator", (*options)->directory / "logs", (*options)->log_level});
      !logging)
    return refuse(logging.error(), kExitUsage);
  if (const std::string& place = (*options)->move_ledger_to; !place.empty())
    return move_ledger((*options)->directory, place);
  auto context = open_coordinator(**options, real_world());
  const int code = context ? run(**signals, **context) : refuse(context.error(), kExitUsage);
  stop_logging();
  return code;
}
