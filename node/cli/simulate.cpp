// coshard simulate: what to expect of a round.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "node/cli/commands.h"
#include "node/cli/exit_code.h"
#include "node/cli/simulate_scenario.h"
#include "node/cli/simulate_wire.h"
#include "node/progress.h"
#include "protocol/base/quantity.h"
#include "protocol/sim/forecast.h"

namespace coshard::cli {
namespace {

using Json = nlohmann::ordered_json;

/// Everything that is printed, in either form.
struct Answer {
  const node::RoundFile& round;
  const SimulateCommand& command;
  const sim::Scenario& scenario;
  const sim::Forecast& forecast;
  double wall_seconds = 0;
  std::uint64_t boxes_of_one_core = 0;
  std::uint64_t boxes_of_one_table = 0;  ///< a table of members is one message

  double steps_per_hour() const {
    const double seconds = forecast.seconds_per_step();
    return seconds > 0 ? 3600 / seconds : 0;
  }
  double tokens_per_second() const {
    return steps_per_hour() / 3600 * static_cast<double>(round.tokens_per_step());
  }
};

/// "54.2 s", "2 min 3 s".
std::string step_time(double seconds) {
  if (seconds >= 100) return node::render_seconds(seconds);
  char text[32];
  std::snprintf(text, sizeof text, seconds < 1 ? "%.3f s" : "%.1f s", seconds);
  return text;
}

double per_second(double sum, const sim::CoordinatorLoad& load) {
  return load.seconds > 0 ? sum / load.seconds : 0;
}

Json to_json(const Answer& answer) {
  const sim::RunFigures& run = answer.forecast.run;
  Json lost;
  for (std::size_t i = 0; i < sim::kCauses; ++i)
    lost[std::string(sim::to_string(static_cast<sim::Cause>(i)))] = answer.forecast.lost[i];
  const sim::CoordinatorLoad& load = run.load;
  Json json{{"model", answer.round.model.name},
            {"stages", answer.scenario.round.shape.stages},
            {"replicas", answer.scenario.round.shape.replicas},
            {"microbatches", answer.scenario.round.shape.microbatches},
            {"peers", run.seats},
            {"seed", answer.command.seed},
            {"steps", run.steps},
            {"seconds_per_step", answer.forecast.seconds_per_step()},
            {"steps_per_hour", answer.steps_per_hour()},
            {"tokens_per_second", answer.tokens_per_second()},
            {"utilisation", run.utilisation},
            {"lost", lost},
            {"peers_lost", run.boxes_lost},
            {"replacements_refused", run.joins_refused},
            {"replacements_joined", run.joins},
            {"members_at_end", run.members_at_end},
            {"microbatches_repaired", run.microbatches_repaired},
            {"redone", run.redone},
            {"rollbacks", run.rollbacks},
            {"shards_kept", run.shards_kept},
            {"bytes_kept", run.bytes_kept},
            {"ended", run.finished ? Json(run.finished->text) : Json(nullptr)},
            {"simulated_seconds", run.seconds_simulated},
            {"events", run.events},
            {"cut_short", run.out_of_events},
            {"wall_seconds", answer.wall_seconds},
            {"advice", answer.forecast.advice}};
  json["coordinator"] = {
      {"messages_in_per_second", per_second(static_cast<double>(load.in.messages), load)},
      {"messages_out_per_second", per_second(static_cast<double>(load.out.messages), load)},
      {"bytes_in_per_second", per_second(load.in.bytes, load)},
      {"bytes_out_per_second", per_second(load.out.bytes, load)},
      {"cores", load.cores()},
      {"cores_deciding", per_second(load.machine_seconds, load)},
      {"peers_of_one_core", answer.boxes_of_one_core},
      {"peers_of_one_table", answer.boxes_of_one_table}};
  return json;
}

const char* explain(sim::Cause cause) {
  switch (cause) {
    case sim::Cause::kPipeline:
      return "stages that wait for each other, boxes that wait for microbatches";
    case sim::Cause::kUneven:
      return "boxes of different speed";
    case sim::Cause::kBoundary:
      return "boundary tensors and latency";
    case sim::Cause::kAveraging:
      return "gradients on the lines";
    case sim::Cause::kLosses:
      return "boxes that go, repair, checkpoints and their copies";
  }
  return "";
}

void print_round(const Answer& answer) {
  const sim::RunFigures& run = answer.forecast.run;
  const round::RoundShape& shape = answer.scenario.round.shape;
  std::printf("%s: %u stages x %u replicas on %u boxes of %g TFLOP/s",
              answer.round.model.name.c_str(), shape.stages, shape.replicas, run.seats,
              answer.command.tflops);
  if (answer.command.peers && *answer.command.peers > run.seats)
    std::printf(" (%u more find no seat)", *answer.command.peers - run.seats);
  std::printf(
      "\n  step         %s, %.1f steps per hour, %s tokens/s\n"
      "  utilisation  %5.2f %%  of the boxes' time is spent computing; the rest is lost to\n",
      step_time(answer.forecast.seconds_per_step()).c_str(), answer.steps_per_hour(),
      node::render_count(static_cast<std::uint64_t>(answer.tokens_per_second())).c_str(),
      run.utilisation * 100);
  for (std::size_t i = 0; i < sim::kCauses; ++i) {
    const auto cause = static_cast<sim::Cause>(i);
    std::printf("    %-10s %5.1f %%  %s\n", std::string(sim::to_string(cause)).c_str(),
                std::max(answer.forecast.lost[i], 0.0) * 100, explain(cause));
  }
}

void print_losses(const sim::RunFigures& run) {
  std::printf(
      "  losses       %llu boxes went, %llu microbatches were done again (%.2f %% of the "
      "computing), %llu rollbacks\n",
      static_cast<unsigned long long>(run.boxes_lost),
      static_cast<unsigned long long>(run.microbatches_repaired), run.redone * 100,
      static_cast<unsigned long long>(run.rollbacks));
  if (run.boxes_lost > 0)
    std::printf("               %llu others joined in their place, %llu times one was sent away\n",
                static_cast<unsigned long long>(run.joins),
                static_cast<unsigned long long>(run.joins_refused));
  if (run.members_at_end < run.seats)
    std::printf("               %u of %u seats were taken at the end\n", run.members_at_end,
                run.seats);
  if (run.finished) std::printf("               the round ended: %s\n", run.finished->text.c_str());
}

/// Of stages with one replica, at each checkpoint.
void print_copies(const Answer& answer) {
  const sim::RunFigures& run = answer.forecast.run;
  if (run.shards_kept == 0) return;
  const double bytes = static_cast<double>(run.bytes_kept) / static_cast<double>(run.shards_kept);
  const double uplink = answer.scenario.boxes.uplink_bytes_per_second;
  std::printf(
      "  copies       %s times the only copy of a shard went sealed to another stage's box: %s",
      node::render_count(run.shards_kept).c_str(), bytes_text(bytes).c_str());
  if (uplink > 0) std::printf(", %s of an uplink", node::render_seconds(bytes / uplink).c_str());
  std::printf("\n");
}

void print_coordinator(const Answer& answer) {
  const sim::CoordinatorLoad& load = answer.forecast.run.load;
  std::printf(
      "  coordinator  %.0f messages/s in, %.0f out; %s/s in, %s/s out; %.1f %% of one core of this "
      "machine\n               one core would be busy with about %s boxes\n",
      per_second(static_cast<double>(load.in.messages), load),
      per_second(static_cast<double>(load.out.messages), load),
      bytes_text(per_second(load.in.bytes, load)).c_str(),
      bytes_text(per_second(load.out.bytes, load)).c_str(), load.cores() * 100,
      node::render_count(answer.boxes_of_one_core).c_str());
  if (answer.forecast.run.seats > answer.boxes_of_one_table)
    std::printf(
        "               but a table of all members is one message, and names %s boxes at most\n",
        node::render_count(answer.boxes_of_one_table).c_str());
}

void print(const Answer& answer) {
  const sim::RunFigures& run = answer.forecast.run;
  print_round(answer);
  print_losses(run);
  print_copies(answer);
  print_coordinator(answer);
  std::printf("  advice       %s\n", answer.forecast.advice.c_str());
  std::printf("  simulated    %s%s in %s: %llu steps, seed %llu\n",
              node::render_seconds(run.seconds_simulated).c_str(),
              run.out_of_events ? " (more would take too long)" : "",
              node::render_seconds(answer.wall_seconds).c_str(),
              static_cast<unsigned long long>(run.steps),
              static_cast<unsigned long long>(answer.command.seed));
}

/// One line that is redrawn while the simulation runs, on a terminal.
std::function<void(sim::Cause, const sim::Progress&)> show_progress() {
  if (!node::Terminal::of(stderr).interactive) return {};
  return [](sim::Cause cause, const sim::Progress& at) {
    std::fprintf(stderr, "\r  %d of %zu: %s, %llu steps in %s \x1b[K", static_cast<int>(cause) + 1,
                 sim::kCauses, explain(cause), static_cast<unsigned long long>(at.steps),
                 node::render_seconds(at.seconds).c_str());
    std::fflush(stderr);
  };
}

}  // namespace

int run(const SimulateCommand& command) {
  const auto loaded = node::load_round(command.file);
  if (!loaded) return report(loaded.error(), kBadInput);
  const auto scenario = scenario_of(loaded->round, command);
  if (!scenario) return report(scenario.error(), kBadInput);
  const auto start = std::chrono::steady_clock::now();
  const ThreadCpuClock cpu;
  SealedWire wire(cpu);
  sim::LoadMeter meter(cpu, wire);
  const auto progress = show_progress();
  const sim::Forecast forecast = sim::forecast(*scenario, &meter, progress);
  if (progress) std::fputs("\r\x1b[K", stderr);
  Answer answer{loaded->round, command, *scenario, forecast};
  answer.wall_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  answer.boxes_of_one_core =
      static_cast<std::uint64_t>(sim::boxes_of_one_core(forecast.run.load, forecast.run.seats));
  answer.boxes_of_one_table = limits::kHeaderBytesMax / table_bytes_per_member();
  if (command.json)
    std::printf("%s\n", to_json(answer).dump().c_str());
  else
    print(answer);
  return kDone;
}

}  // namespace coshard::cli
