// See state_transfer.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/state_transfer.h"

#include <algorithm>

namespace coshard::round {

Result<bool> ReaderBook::name(const Reader& reader, TimePoint now) {
  const auto known = readers_.find(reader.node);
  if (known == readers_.end() && readers_.size() >= limits::kReadersMax)
    return fail(ErrorCode::kResourceExhausted,
                "expected at most " + std::to_string(limits::kReadersMax) +
                    " readers at one time; ask again when one of them is done");
  const bool changed = known == readers_.end() || known->second.reader != reader;
  readers_.insert_or_assign(reader.node, Lease{reader, now + limits::kReaderLease});
  return changed;
}

std::vector<NodeId> ReaderBook::expire(TimePoint now) {
  std::vector<NodeId> over;
  for (const auto& [node, lease] : readers_)
    if (lease.until <= now) over.push_back(node);
  for (const NodeId& node : over) readers_.erase(node);
  return over;
}

ReaderList ReaderBook::list() const {
  ReaderList list;
  for (const auto& [node, lease] : readers_) list.readers.push_back(lease.reader);
  return list;
}

Result<void> may_read(const StateAsk& ask, Asker asker, const StateHolder& holder) {
  if (asker == Asker::kMember) return {};
  if (!holder.open && asker != Asker::kJoiner)
    return fail(ErrorCode::kPermissionDenied,
                holder.model + " is protected: its weights never leave the nodes that hold them");
  if (asker == Asker::kStranger)
    return fail(ErrorCode::kPermissionDenied,
                "expected a reader whom the coordinator of " + holder.model + " has named");
  if (ask.stage != holder.stage)
    return fail(ErrorCode::kNotFound, "expected a question about stage " +
                                          std::to_string(holder.stage.value) +
                                          ", found one about " + std::to_string(ask.stage.value));
  return {};
}

Result<std::uint64_t> piece_bytes(const StateAsk& ask, std::uint64_t bytes_total) {
  if (ask.offset >= bytes_total)
    return fail(ErrorCode::kInvalidArgument, "expected an offset below " +
                                                 std::to_string(bytes_total) + ", found " +
                                                 std::to_string(ask.offset));
  return std::min(ask.bytes, bytes_total - ask.offset);
}

}  // namespace coshard::round
