// What a node keeps until its step commits: boundary tensors sent and received, averaging chunks.
// Bytes are shared, never copied. Bounded: when full, what nobody waits for any more goes; what was
// received first, then what was made here (it is kept in case a neighbour dies), oldest step first.
// Home thread: cs-net.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <optional>

#include "protocol/base/error.h"
#include "protocol/base/tensor_blob.h"
#include "protocol/base/thread_role.h"
#include "protocol/round/participant.h"
#include "protocol/wire/envelope.h"

namespace coshard::node {

/// A tensor with the hash of its bytes: computed at most once, by whoever needs it first.
struct KeptTensor {
  TensorBlob blob;
  std::optional<Hash> hash;
  NodeId sender;            ///< who it came from; zeros: made here
  double squared_norm = 0;  ///< of an averaged chunk: what its reducer signed
  Hash in_hash{};           ///< of the tensor that it was computed from; zeros: from data

  bool is_own() const { return sender == NodeId{}; }
  /// The bytes as a frame's payload.
  wire::Payload payload();
};

class TensorStore {
 public:
  /// `on_evicted` is told of every tensor that made room, inside put().
  using OnEvicted = std::function<void(const round::PayloadKey&)>;
  explicit TensorStore(std::size_t bytes_max, OnEvicted on_evicted = {})
      : bytes_max_(bytes_max), on_evicted_(std::move(on_evicted)) {}

  /// Keeps `tensor` (replacing what had this key). kResourceExhausted when the rest of the limit is
  /// taken by tensors that are still needed.
  Result<void> put(const round::PayloadKey& key, KeptTensor tensor);

  /// Null when it is not (or no longer) here. Valid until the next put() or release().
  KeptTensor* find(const round::PayloadKey& key);

  /// The average of `chunk`, whoever reduced it, and who did.
  struct Average {
    NodeId reducer;
    KeptTensor* tensor = nullptr;
  };
  std::optional<Average> find_average(StepId step, Attempt attempt, ChunkIndex chunk);

  /// `key` was used: sent, or taken in by the engine. It stays only for repair.
  void mark_used(const round::PayloadKey& key);
  void erase(const round::PayloadKey& key);

  /// Lets go of the contributions and averages of one averaging attempt.
  void drop_chunks(StepId step, Attempt attempt);
  /// Lets go of everything of `step` and of earlier steps.
  void release(StepId step);

  std::size_t bytes() const { return bytes_; }
  std::size_t size() const;
  std::uint64_t evicted() const { return evicted_; }

 private:
  struct Slot {
    KeptTensor tensor;
    bool used = false;
  };
  using Step = std::map<round::PayloadKey, Slot>;
  bool make_room(std::size_t bytes);
  void evict(std::size_t bytes, bool own);

  const std::size_t bytes_max_;
  const OnEvicted on_evicted_;
  std::size_t bytes_ = 0;
  std::uint64_t evicted_ = 0;
  std::map<StepId, Step> steps_;
  ThreadRole net_;
};

}  // namespace coshard::node
