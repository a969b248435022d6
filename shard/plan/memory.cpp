// See memory.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/plan/memory.h"

#include <utility>

#include "protocol/base/quantity.h"

namespace coshard::shard {
namespace {

/// Elements that autograd keeps per token for one layer with fused attention: two norm inputs and
/// outputs, q, k, v before and after the rotation, the attention output and its log-sum-exp, gate,
/// up, silu(gate) and their product.
std::uint64_t layer_elements_per_token(const ModelSpec& spec) {
  const std::int64_t residual = 2 * spec.hidden, normed = 2 * spec.hidden;
  const std::int64_t attention =
      2 * (spec.hidden + spec.kv_width()) + spec.kv_width() + spec.hidden + spec.heads;
  return static_cast<std::uint64_t>(residual + normed + attention + 4 * spec.ffn_hidden);
}

}  // namespace

MemoryPlan memory_plan(const ModelSpec& spec, const StageSlice& slice,
                       const MemoryOptions& options) {
  const std::uint64_t count = parameter_count(spec, slice);
  const std::uint64_t item = options.bf16_compute ? 2 : 4;
  const auto tokens = static_cast<std::uint64_t>(options.microbatch_sequences) *
                      static_cast<std::uint64_t>(spec.sequence);
  const auto input = static_cast<std::uint64_t>(spec.hidden);
  const auto layers = static_cast<std::uint64_t>(slice.layers());
  // Logits and their gradient are fp32, so that the loss is.
  const std::uint64_t head =
      slice.has_head ? tokens * static_cast<std::uint64_t>(spec.vocab) * 2 * 4 : 0;
  const std::uint64_t kept = tokens * item * (input + layers * layer_elements_per_token(spec));

  MemoryPlan plan;
  plan.parameters = count * (options.bf16_compute ? 6 : 4);
  plan.gradients = count * 4;
  plan.average = count * 4;
  plan.moments = count * 8;
  plan.snapshot = options.snapshot ? count * 12 : 0;
  plan.stash_per_microbatch = options.recompute ? tokens * item * input : kept;
  plan.stashes = static_cast<std::uint64_t>(options.microbatches_in_flight);
  plan.working = (options.recompute ? kept : tokens * item * layer_elements_per_token(spec)) + head;
  return plan;
}

std::string memory_bill(const MemoryPlan& plan, std::uint64_t available_bytes) {
  const std::pair<std::string, std::uint64_t> rows[] = {
      {"weights", plan.parameters},
      {"gradient sum", plan.gradients},
      {"gradient average", plan.average},
      {"AdamW moments", plan.moments},
      {"a checkpoint's copy", plan.snapshot},
      {"activations of " + std::to_string(plan.stashes) + " microbatches in flight",
       plan.stash_per_microbatch * plan.stashes},
      {"working memory", plan.working}};
  std::string bill =
      "this stage needs " + bytes_text(plan.total()) + " of " + bytes_text(available_bytes);
  const char* separator = ": ";
  for (const auto& [name, bytes] : rows)
    bill += std::exchange(separator, ", ") + bytes_text(bytes) + " " + name;
  return bill;
}

Result<void> check_memory(const MemoryPlan& plan, std::uint64_t available_bytes) {
  if (plan.total() <= available_bytes) return {};
  return fail(
      ErrorCode::kResourceExhausted,
      memory_bill(plan, available_bytes) +
          "; use more stages, fewer microbatch_sequences, recomputation or a larger device");
}

}  // namespace coshard::shard
