// See forecast.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/sim/forecast.h"

#include <algorithm>
#include <cstdio>

namespace coshard::sim {
namespace {

/// Commits that a run without losses is watched for: each step is like the one before.
constexpr std::uint64_t kSteadySteps = 3;

/// `scenario` with the causes up to `last`.
Scenario with_causes(const Scenario& scenario, Cause last) {
  Scenario part = scenario;
  if (last == Cause::kLosses) return part;
  part.boxes.losses_per_hour = 0;
  part.steps = std::min(part.steps, kSteadySteps);
  part.duration = Scenario{}.duration;
  if (last == Cause::kAveraging) return part;
  for (StageCost& stage : part.stages) stage.chunk_bytes = {0};
  if (last == Cause::kBoundary) return part;
  part.boxes.uplink_bytes_per_second = part.boxes.downlink_bytes_per_second = 0;
  part.boxes.latency = part.journal = Duration{};
  if (last == Cause::kPipeline) part.boxes.spread = 0;
  return part;
}

std::string percent(double share) {
  char text[16];
  std::snprintf(text, sizeof text, "%.0f %%", share * 100);
  return text;
}

std::string advice_on_pipeline(const Scenario& scenario, double lost) {
  const round::RoundShape& shape = scenario.round.shape;
  const std::uint64_t useful = useful_microbatches(shape.stages, shape.replicas);
  if (shape.microbatches >= useful)
    return "stages are uneven or wait for each other (" + percent(lost) +
           "): cut the model more evenly, or into fewer stages";
  return std::to_string(shape.microbatches) + " microbatches keep " +
         std::to_string(shape.replicas) + " replicas of " + std::to_string(shape.stages) +
         " stages waiting " + percent(lost) + " of the time: " + std::to_string(useful) +
         " would make it about 10 %" +
         (useful > limits::kMicrobatchesMax
              ? " (a step takes " + std::to_string(limits::kMicrobatchesMax) +
                    " at most: make each of them larger, or split into fewer stages)"
              : "");
}

std::string advise(const Scenario& scenario, const Forecast& forecast) {
  if (forecast.run.steps == 0) return "no step was completed in the time that was simulated";
  const auto worst = std::max_element(forecast.lost.begin(), forecast.lost.end());
  if (*worst < 0.1) return "nothing in particular holds this round back";
  switch (static_cast<Cause>(worst - forecast.lost.begin())) {
    case Cause::kPipeline:
      return advice_on_pipeline(scenario, *worst);
    case Cause::kUneven:
      return "slow boxes hold the others up (" + percent(*worst) +
             " of the time): more microbatches per step let fast ones take more of them";
    case Cause::kBoundary:
      return "boundary tensors fill the lines (" + percent(*worst) +
             " of the time): fewer stages, faster uplinks, or a boundary compression would help";
    case Cause::kAveraging:
      return "averaging gradients takes " + percent(*worst) +
             " of the time: more or larger microbatches per step, faster uplinks, or more stages "
             "would help";
    case Cause::kLosses:
      return "losing boxes costs " + percent(*worst) +
             " of the time: more replicas per stage, or boxes that stay, would help";
  }
  return "";
}

}  // namespace

std::string_view to_string(Cause cause) {
  switch (cause) {
    case Cause::kPipeline:
      return "pipeline";
    case Cause::kUneven:
      return "uneven";
    case Cause::kBoundary:
      return "boundary";
    case Cause::kAveraging:
      return "averaging";
    case Cause::kLosses:
      return "losses";
  }
  return "";
}

std::uint64_t useful_microbatches(std::uint32_t stages, std::uint32_t replicas) {
  return std::max<std::uint64_t>(std::uint64_t{9} * (stages - 1), 1) * replicas;
}

Forecast forecast(const Scenario& scenario, LoadMeter* meter,
                  const std::function<void(Cause, const Progress&)>& progress) {
  Forecast forecast;
  std::array<double, kCauses> utilisation{};
  for (std::size_t i = 0; i < kCauses; ++i) {
    const auto cause = static_cast<Cause>(i);
    const Scenario part = with_causes(scenario, cause);
    ProgressFn tell;
    if (progress) tell = [&](const Progress& at) { progress(cause, at); };
    const bool whole = cause == Cause::kLosses;
    forecast.run = simulate(part, whole ? meter : nullptr, tell);
    utilisation[i] = forecast.run.utilisation;
  }
  // The time of a step is that of nothing but computing, divided by the utilisation.
  double before = 1;
  for (std::size_t i = 0; i < kCauses && utilisation.back() > 0; ++i) {
    forecast.lost[i] = utilisation.back() * (1 / utilisation[i] - 1 / before);
    before = utilisation[i];
  }
  forecast.advice = advise(scenario, forecast);
  return forecast;
}

}  // namespace coshard::sim
