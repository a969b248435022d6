// See state_fetch.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/state_fetch.h"

#include <algorithm>

namespace coshard::round {

namespace {
constexpr std::uint64_t kPiece = limits::kStatePieceBytes;
}

void StateFetch::add(const NodeId& holder) { holders_.try_emplace(holder); }

void StateFetch::remove(const NodeId& holder) { holders_.erase(holder); }

void StateFetch::give_up(const NodeId& holder, Error why) {
  if (holders_.erase(holder) > 0) refusals_.push_back(std::move(why));
}

/// Neither here nor asked of anybody.
bool StateFetch::wanted(std::uint64_t offset) const {
  if (offset < done_ || early_.contains(offset)) return false;
  return std::ranges::none_of(
      holders_, [&](const auto& entry) { return entry.second.owes.contains(offset); });
}

/// Until the first piece has told how large the state is, only that one is asked for.
std::optional<std::uint64_t> StateFetch::next_piece() const {
  if (complete()) return std::nullopt;
  if (!total_) return wanted(done_) ? std::optional(done_) : std::nullopt;
  const std::uint64_t end = std::min(*total_, done_ + kStateWindow * kPiece);
  for (std::uint64_t offset = done_; offset < end; offset += kPiece)
    if (wanted(offset)) return offset;
  return std::nullopt;
}

std::vector<StateFetch::Ask> StateFetch::asks(TimePoint now) {
  for (auto& [node, holder] : holders_) {
    std::erase_if(holder.owes, [&, last = holder.heard](const auto& owed) {
      return now - std::max(owed.second, last) >= kStatePatience;
    });
  }
  std::vector<Ask> out;
  while (const auto offset = next_piece()) {
    // Who owes least is asked next, so that the fast deliver more.
    auto best = holders_.end();
    for (auto at = holders_.begin(); at != holders_.end(); ++at) {
      if (at->second.owes.size() >= limits::kStatePiecesPerNode || now < at->second.not_before)
        continue;
      if (best == holders_.end() || at->second.owes.size() < best->second.owes.size()) best = at;
    }
    if (best == holders_.end()) break;
    best->second.owes.emplace(*offset, now);
    out.push_back({best->first, {wanted_.step, wanted_.stage, *offset, kPiece}});
  }
  return out;
}

Result<bool> StateFetch::on_piece(const NodeId& from, const StatePiece& piece, std::uint64_t bytes,
                                  TimePoint now) {
  const auto sender = holders_.find(from);
  if (sender == holders_.end() || piece.step != wanted_.step || piece.stage != wanted_.stage)
    return false;
  const bool cut = bytes != std::min(kPiece, piece.bytes_total - piece.offset);
  const bool other_size = piece.bytes_total > wanted_.bytes_max || piece.bytes_total < done_ ||
                          (total_ && piece.bytes_total != *total_);
  if (cut || other_size) {
    Error fault{ErrorCode::kCorruption, from.short_hex() + " sent a piece of " +
                                            std::to_string(bytes) + " bytes of a state of " +
                                            std::to_string(piece.bytes_total) +
                                            ", which cannot be"};
    give_up(from, fault);
    return tl::unexpected<Error>(std::move(fault));
  }
  sender->second.heard = now;
  sender->second.owes.erase(piece.offset);
  if (piece.offset < done_ || early_.contains(piece.offset)) return false;
  const std::uint64_t window_end = done_ + kStateWindow * kPiece;
  if (piece.offset >= window_end || (piece.offset - done_) % kPiece != 0) return false;
  for (auto& [node, holder] : holders_) holder.owes.erase(piece.offset);
  total_ = piece.bytes_total;
  take(piece.offset, bytes);
  return true;
}

void StateFetch::take(std::uint64_t offset, std::uint64_t bytes) {
  early_.emplace(offset, bytes);
  for (auto first = early_.begin(); first != early_.end() && first->first == done_;
       first = early_.erase(first))
    done_ += first->second;
}

void StateFetch::on_refused(const NodeId& from, const StateRefused& refusal, TimePoint now) {
  const auto sender = holders_.find(from);
  if (sender == holders_.end() || refusal.step != wanted_.step || refusal.stage != wanted_.stage)
    return;
  if (refusal.code != ErrorCode::kResourceExhausted)
    return give_up(from, {refusal.code, from.short_hex() + " answered: " + refusal.reason});
  sender->second.owes.erase(refusal.offset);
  sender->second.not_before = now + limits::kRepeatInterval;
}

}  // namespace coshard::round
