// coshard round watch: live progress until the round ends or the operator leaves.
// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <cstdio>

#include "node/cli/commands.h"
#include "node/cli/exit_code.h"
#include "node/cli/metrics_log.h"
#include "node/cli/round_handle.h"
#include "node/progress.h"
#include "node/signals.h"

namespace coshard::cli {
namespace {

constexpr std::chrono::milliseconds kLookInterval{500};
/// Questions in a row that may stay without an answer before we give up.
constexpr int kSilencesMax = 10;

void print_curve(const RoundHandle& round) {
  if (!round.dir) return;
  const auto metrics = read_metrics(*round.dir / "metrics.jsonl");
  if (!metrics) return;
  const node::Terminal terminal = node::Terminal::of(stdout);
  node::CurveStyle style;
  style.unicode = terminal.unicode;
  for (const std::string& line : node::draw_loss_curve(losses(*metrics), style))
    std::printf("%s\n", line.c_str());
}

int finish(const RoundHandle& round, const node::RoundStatus& status) {
  print_curve(round);
  const node::RoundStatus::Ended ended = status.ended.value_or(node::RoundStatus::Ended{});
  std::printf("%s ended: %s%s%s\n", status.model.c_str(), ended.reason.c_str(),
              ended.text.empty() ? "" : ": ", ended.text.c_str());
  if (ended.reason == "finished") return kDone;
  std::printf("It can go on after step %llu: coshard round resume %s\n",
              static_cast<unsigned long long>(ended.resumable_step), round.id.c_str());
  return kEndedEarly;
}

/// The coordinator is gone: what it last said, or what its files say.
int conclude(const RoundHandle& round, const std::optional<node::RoundStatus>& last) {
  if (last && last->has_ended()) return finish(round, *last);
  const RoundRemains remains =
      round.dir ? read_remains(*round.dir) : RoundRemains{last ? last->step : 0, {}, false};
  const bool finished = remains.finished || (last && last->step >= last->steps);
  print_curve(round);
  if (finished)
    std::printf("%s ended: finished\n", round.id.c_str());
  else
    std::printf("the coordinator has stopped after step %llu; see coshard round status %s\n",
                static_cast<unsigned long long>(remains.step), round.id.c_str());
  return finished ? kDone : kEndedEarly;
}

}  // namespace

int run(const RoundWatchCommand& command) {
  const auto config = node::load_config(node::process_environment());
  if (!config) return report(config.error(), kBadInput);
  auto round = find_round(command.id, *config);
  if (!round) return report(round.error(), kBadInput);
  const auto signals = node::Signals::block();
  if (!signals) return report(signals.error(), kFailed);
  node::ProgressPrinter printer(stdout, node::Terminal::of(stdout));
  std::optional<node::RoundStatus> last;
  std::string shown;
  for (int silences = 0;;) {
    const auto json = ask_status_json(round->url);
    if (!json && !last && !round->dir) return report(json.error(), kFailed);
    silences = json ? 0 : silences + 1;
    if (silences > 0) {
      // One that was started again may listen elsewhere.
      if (auto again = find_round(command.id, *config)) round = std::move(again);
      const bool over = !last || last->has_ended();
      if (silences > kSilencesMax || (over && round->dir && !is_running(*round)))
        return conclude(*round, last);
    }
    if (json) {
      auto status = node::parse_round_status(*json);
      if (!status) return report(status.error(), kFailed);
      last = std::move(*status);
      if (!command.json) {
        printer.show(*last, std::chrono::steady_clock::now());
      } else if (*json != shown) {
        std::printf("%s\n", json->c_str());
        std::fflush(stdout);
        shown = *json;
      }
      if (last->has_ended()) return command.json ? kDone : finish(*round, *last);
    }
    if ((*signals)->wait(kLookInterval) == node::Wake::kSignal) return kDone;
  }
}

}  // namespace coshard::cli
