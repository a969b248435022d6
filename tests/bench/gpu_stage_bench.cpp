// Times one middle stage of a LLaMA as a node runs it: blobs in, blobs out, forward, backward and
// the update, on one device. Prints one JSON line, or why there is no device. gpu_stage_bench.py
// runs it beside PyTorch.
//   gpu_stage_bench [--device cuda|cpu] [--shape 1b|tiny] [--sequences N] [--microbatches N]
//                   [--steps N]
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "shard/engine/stage_engine.h"

namespace coshard::shard {
namespace {

struct Options {
  std::string device = "cuda";
  std::string shape = "1b";
  int sequences = 4;
  int microbatches = 8;
  int steps = 10;
};

/// Steps that are run before the clock starts: allocators and libraries settle.
constexpr int kWarmup = 3;

/// Llama-3.2-1B, or something that a CPU does in no time; a stage of half the layers, from the
/// middle.
StageConfig stage_of(const Options& options, const Device& device) {
  StageConfig config;
  if (options.shape == "tiny") {
    config.spec = {.hidden = 64,
                   .layers = 4,
                   .heads = 4,
                   .kv_heads = 2,
                   .ffn_hidden = 176,
                   .vocab = 256,
                   .sequence = 64};
  } else {
    config.spec = {.hidden = 2048,
                   .layers = 16,
                   .heads = 32,
                   .kv_heads = 8,
                   .ffn_hidden = 8192,
                   .vocab = 128256,
                   .sequence = 2048};
  }
  config.slice = {.first_layer = config.spec.layers / 4, .last_layer = 3 * config.spec.layers / 4};
  config.device = device;
  const bool gpu = device.kind == DeviceKind::kCuda;
  config.precision = gpu ? Precision::kBf16 : Precision::kFp32;
  return config;
}

TensorBlob random_blob(const StageConfig& config, int sequences, float deviation, unsigned seed) {
  const Shape shape{sequences, config.spec.sequence, config.spec.hidden};
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, deviation);
  Bytes bytes(*dense_bytes(DType::kF32, shape));
  for (std::size_t i = 0; i < bytes.size(); i += sizeof(float)) {
    const float value = normal(random);
    std::memcpy(bytes.data() + i, &value, sizeof value);
  }
  return {DType::kF32, BoundaryEncoding::kNone, shape, share(std::move(bytes))};
}

Result<void> run_step(StageEngine& engine, const Options& options, const TensorBlob& input,
                      const TensorBlob& output_grad, std::uint64_t step) {
  for (int m = 0; m < options.microbatches; ++m) {
    const MicrobatchIndex microbatch{static_cast<std::uint32_t>(m)};
    COSHARD_TRY(engine.forward(microbatch, input));
    COSHARD_TRY(engine.backward(microbatch, output_grad));
  }
  for (std::uint32_t chunk = 0; chunk < engine.layout().size(); ++chunk)
    COSHARD_TRY(engine.reduce_chunk(ChunkIndex{chunk}, {}, 1e-6F));
  CommitScalars commit;
  commit.step = StepId{step};
  commit.step_size = 1e-4F;
  commit.beta1 = 0.9F, commit.one_minus_beta1 = 0.1F;
  commit.beta2 = 0.95F, commit.one_minus_beta2 = 0.05F;
  COSHARD_TRY(engine.apply_update(commit));
  return {};
}

Result<std::vector<double>> seconds_of_steps(StageEngine& engine, const StageConfig& config,
                                             const Options& options) {
  const TensorBlob input = random_blob(config, options.sequences, 1.0F, 1);
  const TensorBlob output_grad = random_blob(config, options.sequences, 1e-3F, 2);
  std::vector<double> seconds;
  for (int step = 1; step <= kWarmup + options.steps; ++step) {
    const auto start = std::chrono::steady_clock::now();
    COSHARD_TRY(run_step(engine, options, input, output_grad, static_cast<std::uint64_t>(step)));
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
    if (step > kWarmup) seconds.push_back(spent.count());
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds;
}

Result<void> run(const Options& options) {
  COSHARD_ASSIGN(const Device device, choose_device(options.device));  // Before any torch call.
  COSHARD_ASSIGN(DeviceKernels* const kernels, kernels_of(device));
  const StageConfig config = stage_of(options, device);
  COSHARD_ASSIGN(const std::unique_ptr<StageEngine> engine, make_stage_engine(config));
  COSHARD_ASSIGN(const std::vector<double> seconds, seconds_of_steps(*engine, config, options));
  const double tokens = static_cast<double>(options.microbatches) * options.sequences *
                        static_cast<double>(config.spec.sequence);
  const ModelSpec& spec = config.spec;
  std::printf(
      "{\"side\":\"coshard\",\"device\":\"%s\",\"precision\":\"%s\",\"hidden\":%ld,\"layers\":%ld,"
      "\"heads\":%ld,\"kv_heads\":%ld,\"ffn\":%ld,\"sequence\":%ld,\"sequences\":%d,"
      "\"microbatches\":%d,\"parameters\":%lu,\"flops_per_token\":%lu,"
      "\"tokens_per_second\":%.1f,\"best\":%.1f}\n",
      kernels->properties().name.c_str(), config.precision == Precision::kBf16 ? "bf16" : "fp32",
      spec.hidden, config.slice.layers(), spec.heads, spec.kv_heads, spec.ffn_hidden, spec.sequence,
      options.sequences, options.microbatches, parameter_count(spec, config.slice),
      flops_per_token(spec, config.slice), tokens / seconds[seconds.size() / 2],
      tokens / seconds.front());
  return {};
}

Result<Options> parse(int argc, char** argv) {
  Options options;
  const std::map<std::string, std::string*> texts{{"--device", &options.device},
                                                  {"--shape", &options.shape}};
  const std::map<std::string, int*> numbers{{"--sequences", &options.sequences},
                                            {"--microbatches", &options.microbatches},
                                            {"--steps", &options.steps}};
  for (int i = 1; i < argc; i += 2) {
    const std::string value = i + 1 < argc ? argv[i + 1] : "";
    if (const auto text = texts.find(argv[i]); text != texts.end()) {
      *text->second = value;
    } else if (const auto number = numbers.find(argv[i]);
               number != numbers.end() && std::atoi(value.c_str()) > 0) {
      *number->second = std::atoi(value.c_str());
    } else {
      return fail(ErrorCode::kInvalidArgument,
                  "expected --device cuda|cpu, --shape 1b|tiny, or --sequences, --microbatches or "
                  "--steps with a positive number; found " +
                      std::string(argv[i]) + " " + value);
    }
  }
  return options;
}

}  // namespace
}  // namespace coshard::shard

int main(int argc, char** argv) {
  const auto options = coshard::shard::parse(argc, argv);
  if (!options) {
    std::fprintf(stderr, "gpu_stage_bench: %s\n", options.error().message.c_str());
    return 2;
  }
  const auto done = coshard::shard::run(*options);
  if (done) return 0;
  // No device is an answer, not a failure: benchmarks run wherever they can.
  const bool no_device = done.error().code == coshard::ErrorCode::kNotFound;
  std::fprintf(no_device ? stdout : stderr, "%s\n", done.error().message.c_str());
  return no_device ? 0 : 1;
}
