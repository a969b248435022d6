// Slots by step, then by key.
// SPDX-License-Identifier: Apache-2.0
#include "node/daemon/tensor_store.h"

namespace coshard::node {

namespace {

StepId step_of(const round::PayloadKey& key) {
  if (const auto* tensor = std::get_if<round::TensorKey>(&key)) return tensor->unit.step;
  return std::get<round::ChunkKey>(key).step;
}

std::size_t size_of(const KeptTensor& tensor) { return tensor.blob.view().size(); }

}  // namespace

wire::Payload KeptTensor::payload() {
  COSHARD_CHECK(blob.bytes != nullptr);
  if (hash) return {blob.bytes, *hash};
  wire::Payload hashed = wire::hashed(blob.bytes);
  hash = hashed.hash;
  return hashed;
}

Result<void> TensorStore::put(const round::PayloadKey& key, KeptTensor tensor) {
  COSHARD_ON(net_);
  erase(key);
  const std::size_t bytes = size_of(tensor);
  if (!make_room(bytes))
    return fail(ErrorCode::kResourceExhausted,
                "expected at most " + std::to_string(bytes_max_) +
                    " bytes of tensors kept until the commit, found " +
                    std::to_string(bytes_ + bytes));
  bytes_ += bytes;
  steps_[step_of(key)].emplace(key, Slot{std::move(tensor), false});
  return {};
}

bool TensorStore::make_room(std::size_t bytes) {
  if (bytes > bytes_max_) return false;
  evict(bytes, /*own=*/false);
  evict(bytes, /*own=*/true);
  return bytes_ + bytes <= bytes_max_;
}

/// Until `bytes` more have room, or nothing is left that may go.
void TensorStore::evict(std::size_t bytes, bool own) {
  for (auto& [step, slots] : steps_) {
    for (auto slot = slots.begin(); bytes_ + bytes > bytes_max_ && slot != slots.end();) {
      const auto here = slot++;
      if (!here->second.used || here->second.tensor.is_own() != own) continue;
      bytes_ -= size_of(here->second.tensor);
      ++evicted_;
      if (on_evicted_) on_evicted_(here->first);
      slots.erase(here);
    }
  }
}

KeptTensor* TensorStore::find(const round::PayloadKey& key) {
  COSHARD_ON(net_);
  const auto step = steps_.find(step_of(key));
  if (step == steps_.end()) return nullptr;
  const auto slot = step->second.find(key);
  return slot == step->second.end() ? nullptr : &slot->second.tensor;
}

std::optional<TensorStore::Average> TensorStore::find_average(StepId step, Attempt attempt,
                                                              ChunkIndex chunk) {
  COSHARD_ON(net_);
  const auto slots = steps_.find(step);
  if (slots == steps_.end()) return std::nullopt;
  const round::PayloadKey first = round::ChunkKey{step, attempt, chunk, NodeId{}, false};
  for (auto slot = slots->second.lower_bound(first); slot != slots->second.end(); ++slot) {
    const auto& key = std::get<round::ChunkKey>(slot->first);
    if (key.attempt != attempt || key.chunk != chunk) break;
    if (key.averaged) return Average{key.from, &slot->second.tensor};
  }
  return std::nullopt;
}

void TensorStore::mark_used(const round::PayloadKey& key) {
  COSHARD_ON(net_);
  const auto step = steps_.find(step_of(key));
  if (step == steps_.end()) return;
  const auto slot = step->second.find(key);
  if (slot != step->second.end()) slot->second.used = true;
}

void TensorStore::erase(const round::PayloadKey& key) {
  COSHARD_ON(net_);
  const auto step = steps_.find(step_of(key));
  if (step == steps_.end()) return;
  const auto slot = step->second.find(key);
  if (slot == step->second.end()) return;
  bytes_ -= size_of(slot->second.tensor);
  step->second.erase(slot);
}

void TensorStore::drop_chunks(StepId step, Attempt attempt) {
  COSHARD_ON(net_);
  const auto slots = steps_.find(step);
  if (slots == steps_.end()) return;
  const round::PayloadKey first = round::ChunkKey{step, attempt, ChunkIndex(0), NodeId{}, false};
  for (auto slot = slots->second.lower_bound(first); slot != slots->second.end();) {
    if (std::get<round::ChunkKey>(slot->first).attempt != attempt) break;
    bytes_ -= size_of(slot->second.tensor);
    slot = slots->second.erase(slot);
  }
}

void TensorStore::release(StepId step) {
  COSHARD_ON(net_);
  while (!steps_.empty() && steps_.begin()->first <= step) {
    for (const auto& [key, slot] : steps_.begin()->second) bytes_ -= size_of(slot.tensor);
    steps_.erase(steps_.begin());
  }
}

std::size_t TensorStore::size() const {
  std::size_t count = 0;
  for (const auto& [step, slots] : steps_) count += slots.size();
  return count;
}

}  // namespace coshard::node
