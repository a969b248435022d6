// coshard demo: the product on one machine.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "node/cli/commands.h"
#include "node/cli/demo_run.h"
#include "node/cli/demo_summary.h"
#include "node/cli/exit_code.h"
#include "node/progress.h"
#include "shard/data/file.h"

namespace coshard::cli {
namespace {

/// From what the nodes last said of themselves: exact at the end, where the coordinator's view is a
/// heartbeat old.
double boundary_bytes_per_token(const DemoPlan& plan, const DemoEnd& end) {
  double bytes = 0, tokens = 0;
  for (std::uint32_t i = 1; i <= plan.nodes(); ++i) {
    std::ifstream in(plan.dir / "nodes" / ("node-" + std::to_string(i)) / "status.json",
                     std::ios::binary);
    const auto json = nlohmann::json::parse(std::string{std::istreambuf_iterator<char>(in), {}},
                                            nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) continue;
    for (const auto& [key, sum] :
         {std::pair{"boundary_bytes_sent", &bytes}, std::pair{"boundary_tokens", &tokens}}) {
      if (json.contains(key) && json[key].is_number()) *sum += json[key].get<double>();
    }
  }
  if (tokens > 0) return bytes / tokens;
  return end.last ? end.last->boundary_bytes_per_token.value_or(0) : 0;
}

void announce(const DemoPlan& plan, std::FILE* say) {
  const node::RoundFile& round = plan.round;
  const shard::ModelSpec& spec = round.model.spec;
  std::fprintf(say,
               "%s %s: %.2f M parameters in %u stages x %u replicas, %llu steps of %llu tokens\n",
               plan.resumes ? "going on with" : "training", round.model.name.c_str(),
               static_cast<double>(shard::parameter_count(spec, shard::whole_model(spec))) / 1e6,
               round.model.stages(), round.admission.replicas,
               static_cast<unsigned long long>(round.training.steps),
               static_cast<unsigned long long>(round.tokens_per_step()));
  std::fprintf(say, "a coordinator and %u nodes start, each a process of its own; logs in %s\n",
               plan.nodes(), (plan.dir / "logs").c_str());
}

int explain_early_end(const DemoPlan& plan, const DemoEnd& end) {
  std::fputs(end.report.c_str(), stderr);
  std::fprintf(stderr,
               "coshard: the demo did not reach its last step; the same command again goes on from "
               "the last checkpoint in %s\n",
               plan.dir.c_str());
  return end.kind == DemoEnd::Kind::kInterrupted ? kInterrupted : kEndedEarly;
}

/// Recomputes everything from the files and says what came of it.
int conclude(const DemoCommand& command, const DemoPlan& plan, const DemoEnd& end, std::FILE* say) {
  const auto metrics = read_metrics(plan.dir / "metrics.jsonl");
  if (!metrics) return report(metrics.error(), kFailed);
  const ledger::DiskFolder folder(plan.dir / "ledger" / plan.round.model.name);
  const auto ledger = ledger::verify_ledger(folder);
  if (!ledger) return report(ledger.error().within("the ledger does not verify"), kFailed);
  DemoSummary summary = summarize(plan, *metrics, *ledger, boundary_bytes_per_token(plan, end));
  summary.kills = end.kills;
  summary.joined = end.last ? end.last->nodes_joined : 0;
  summary.repaired_microbatches = end.last ? end.last->microbatches_repaired : 0;
  const std::string json = to_json(summary) + "\n";
  const auto written = shard::write_atomically(plan.dir / "summary.json", as_bytes(json));
  if (!written) return report(written.error(), kFailed);
  const bool unicode = node::Terminal::of(say).unicode;
  for (const std::string& line : render_summary(plan, summary, *metrics, unicode))
    std::fprintf(say, "%s\n", line.c_str());
  if (command.json) std::fputs(json.c_str(), stdout);
  if (const auto missing = shortcoming(plan, summary))
    return report({ErrorCode::kFailedPrecondition, "demo: " + *missing}, kFailed);
  return kDone;
}

/// Before anything is prepared where flags give the round's shape, and against the round itself.
Result<void> check(const DemoCommand& command, const std::optional<node::RoundFile>& round) {
  if (!round && command.round) return {};
  DemoShape shape{command.stages, command.replicas, 0, command.steps.value_or(limits::kStepsMax)};
  if (round) shape = {round->model.stages(), round->admission.replicas, 0, round->training.steps};
  shape.joins = static_cast<std::uint32_t>(
      std::ranges::count(command.disturbances, Disturbance::Kind::kJoin, &Disturbance::kind));
  for (const Disturbance& disturbance : command.disturbances)
    COSHARD_TRY(check_disturbance(disturbance, shape));
  return {};
}

}  // namespace

int run(const DemoCommand& command) {
  std::FILE* say = command.json ? stderr : stdout;
  if (const auto possible = check(command, std::nullopt); !possible)
    return report(possible.error(), kBadInput);
  const auto plan = set_up_demo(command, say);
  if (!plan) {
    const bool input = plan.error().code != ErrorCode::kUnavailable &&
                       plan.error().code != ErrorCode::kResourceExhausted;
    return report(plan.error(), input ? kBadInput : kFailed);
  }
  if (const auto possible = check(command, plan->round); !possible)
    return report(possible.error(), kBadInput);
  announce(*plan, say);
  std::fflush(say);
  const DemoEnd end = run_demo_processes(*plan, command.disturbances, say);
  if (end.kind != DemoEnd::Kind::kFinished) return explain_early_end(*plan, end);
  return conclude(command, *plan, end, say);
}

}  // namespace coshard::cli
