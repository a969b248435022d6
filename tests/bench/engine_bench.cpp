// The engine alone: a whole model in one process on the CPU, with the shape flags of
// torch_pipeline.py mono. Prints one JSON line per run. `--against SCRIPT --python PYTHON` runs
// that script in turns with the engine on the same core and prints the ratio of the medians.
// SPDX-License-Identifier: Apache-2.0
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <map>
#include <string>
#include <vector>

#include "protocol/base/check.h"
#include "protocol/base/rng.h"
#include "protocol/round/lr_schedule.h"
#include "shard/engine/stage_engine.h"

namespace coshard {
namespace {

struct Flags {
  std::map<std::string, std::int64_t> numbers{
      {"threads", 1},   {"hidden", 256},     {"layers", 8},  {"heads", 8},
      {"kv-heads", 8},  {"ffn", 688},        {"vocab", 256}, {"sequence", 128},
      {"sequences", 8}, {"microbatches", 8}, {"steps", 12},  {"warmup", 3},
      {"plain", 0},     {"recompute", 0},    {"core", 1},    {"turns", 3}};
  std::string against, python = "python3", mode = "mono";

  std::int64_t operator[](const std::string& name) const { return numbers.at(name); }
};

bool parse(int argc, char** argv, Flags& flags) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = std::string(argv[i]).substr(2);
    if (name == "against")
      flags.against = argv[i + 1];
    else if (name == "python")
      flags.python = argv[i + 1];
    else if (name == "mode")
      flags.mode = argv[i + 1];
    else if (flags.numbers.contains(name))
      flags.numbers[name] = std::atoll(argv[i + 1]);
    else
      return false;
  }
  return argc % 2 == 1;
}

struct Measured {
  double tokens_per_second = 0, best = 0, cpu_seconds_per_step = 0, loss_first = 0, loss_last = 0;
};

void pin(std::int64_t core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(core), &set);
  COSHARD_CHECK(sched_setaffinity(0, sizeof set, &set) == 0);
}

shard::TokenBatch random_batch(const Flags& flags, Rng& rng) {
  shard::TokenBatch batch{flags["sequences"], flags["sequence"], {}, {}};
  const auto vocab = static_cast<std::uint64_t>(flags["vocab"]);
  for (std::int64_t i = 0; i < batch.target_tokens(); ++i) {
    batch.inputs.push_back(static_cast<std::int32_t>(rng.below(vocab)));
    batch.targets.push_back(static_cast<std::int32_t>(rng.below(vocab)));
  }
  return batch;
}

/// One step as a node with a one-stage model does it; the loss per token.
double step(shard::StageEngine& engine, const std::vector<shard::TokenBatch>& batches,
            StepId step_id, const round::OptimizerConfig& optimizer) {
  double loss_sum = 0;
  std::uint64_t tokens = 0;
  for (std::uint32_t m = 0; m < batches.size(); ++m) {
    const auto result = engine.forward_loss(MicrobatchIndex(m), batches[m], batches[m]);
    COSHARD_CHECK(result.has_value());
    loss_sum += result->loss_sum;
    tokens += result->tokens;
  }
  std::vector<std::vector<double>> norms(1);
  for (std::uint32_t c = 0; c < engine.layout().size(); ++c) {
    const auto chunk = engine.reduce_chunk(ChunkIndex(c), {}, 1.0F / static_cast<float>(tokens));
    COSHARD_CHECK(chunk.has_value());
    norms[0].push_back(chunk->squared_norm);
  }
  const auto report = engine.apply_update(
      round::commit_scalars(optimizer, step_id, round::gradient_norm(norms), {}));
  COSHARD_CHECK(report.has_value());
  return loss_sum / static_cast<double>(tokens);
}

Measured measure(const Flags& flags) {
  shard::StageConfig config;
  config.spec = {.hidden = flags["hidden"],
                 .layers = flags["layers"],
                 .heads = flags["heads"],
                 .kv_heads = flags["kv-heads"],
                 .ffn_hidden = flags["ffn"],
                 .vocab = flags["vocab"],
                 .sequence = flags["sequence"]};
  config.slice = shard::whole_model(config.spec);
  config.threads = static_cast<int>(flags["threads"]);
  config.fused = flags["plain"] == 0;
  config.recompute_activations = flags["recompute"] != 0;
  auto engine = shard::make_stage_engine(config);
  if (!engine) std::fprintf(stderr, "%s\n", engine.error().message.c_str());
  COSHARD_CHECK(engine.has_value());
  const round::OptimizerConfig optimizer{.learning_rate = 3e-4,
                                         .beta2 = 0.999,
                                         .weight_decay = 0.01,
                                         .schedule = round::LearningRateSchedule::kConstant};
  Rng rng(1);
  Measured measured;
  std::vector<double> seconds;
  const std::clock_t never = 0;
  std::clock_t cpu_begin = never;
  for (std::int64_t i = 0; i < flags["warmup"] + flags["steps"]; ++i) {
    if (i == flags["warmup"]) cpu_begin = std::clock();
    std::vector<shard::TokenBatch> batches;
    for (std::int64_t m = 0; m < flags["microbatches"]; ++m)
      batches.push_back(random_batch(flags, rng));
    const auto begin = std::chrono::steady_clock::now();
    const double loss =
        step(**engine, batches, StepId(static_cast<std::uint64_t>(i) + 1), optimizer);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    if (i == 0) measured.loss_first = loss;
    measured.loss_last = loss;
    if (i >= flags["warmup"]) seconds.push_back(took.count());
  }
  measured.cpu_seconds_per_step = static_cast<double>(std::clock() - cpu_begin) / CLOCKS_PER_SEC /
                                  static_cast<double>(flags["steps"]);
  std::sort(seconds.begin(), seconds.end());
  const auto tokens =
      static_cast<double>(flags["microbatches"] * flags["sequences"] * flags["sequence"]);
  measured.tokens_per_second = tokens / seconds[seconds.size() / 2];
  measured.best = tokens / seconds[0];
  return measured;
}

/// Runs the reference script pinned to the same core; its tokens per second.
double measure_reference(const Flags& flags) {
  std::string command = "taskset -c " + std::to_string(flags["core"]) + " " + flags.python + " " +
                        flags.against + " " + flags.mode;
  for (const char* name : {"threads", "hidden", "layers", "heads", "kv-heads", "ffn", "vocab",
                           "sequence", "sequences", "microbatches", "steps", "warmup"})
    command += " --" + std::string(name) + " " + std::to_string(flags[name]);
  FILE* pipe = ::popen(command.c_str(), "r");
  COSHARD_CHECK(pipe != nullptr);
  char line[1024] = {};
  std::string text;
  while (std::fgets(line, sizeof line, pipe) != nullptr) text += line;
  ::pclose(pipe);
  std::printf("%s", text.c_str());
  const std::size_t at = text.find("\"tokens_per_second\":");
  COSHARD_CHECK(at != std::string::npos);
  return std::atof(text.c_str() + at + sizeof "\"tokens_per_second\":" - 1);
}

double run(const Flags& flags) {
  const Measured m = measure(flags);
  std::printf(
      "{\"mode\": \"coshard\", \"microbatches\": %lld, \"tokens_per_second\": %.0f, "
      "\"best\": %.0f, \"cpu_seconds_per_step\": %.4f, \"loss_first\": %.6f, "
      "\"loss_last\": %.6f}\n",
      static_cast<long long>(flags["microbatches"]), m.tokens_per_second, m.best,
      m.cpu_seconds_per_step, m.loss_first, m.loss_last);
  std::fflush(stdout);
  return m.tokens_per_second;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace
}  // namespace coshard

int main(int argc, char** argv) {
  using namespace coshard;
  Flags flags;
  if (!parse(argc, argv, flags)) {
    std::fprintf(stderr,
                 "engine_bench: expected pairs of --flag value, as torch_pipeline.py has\n");
    return 2;
  }
  pin(flags["core"]);
  if (flags.against.empty()) {
    run(flags);
    return 0;
  }
  std::vector<double> ours, theirs;
  for (std::int64_t turn = 0; turn < flags["turns"]; ++turn) {
    theirs.push_back(measure_reference(flags));
    ours.push_back(run(flags));
  }
  std::printf("{\"benchmark\": \"engine\", \"against\": \"%s\", \"ratio\": %.3f}\n",
              flags.mode.c_str(), median(ours) / median(theirs));
  return 0;
}
