// See state_copy.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/round/state_copy.h"

#include <algorithm>
#include <string>

namespace coshard::round {

StateCopy::StateCopy(const ShardFile& file, const std::vector<NodeId>& holders)
    : file_(file), tries_{holders} {
  if (holders.size() > 1)
    for (const NodeId& holder : holders) tries_.push_back({holder});
}

void StateCopy::begin(std::uint64_t have, TimePoint now) {
  if (!began_ && have > 0) tries_.push_front(tries_.front());
  began_ = true;
  had_ = have;
  since_ = news_at_ = now;
  asked_.clear();
  fetch_.emplace(StateWanted{file_.step, file_.stage, file_.bytes, have});
}

void StateCopy::set_connected(const NodeId& holder, bool connected) {
  const bool is_asked = asked_.contains(holder);
  if (connected == is_asked || std::ranges::find(holders(), holder) == holders().end()) return;
  if (connected) {
    fetch_->add(holder);
    asked_.insert(holder);
  } else {
    fetch_->remove(holder);
    asked_.erase(holder);
  }
}

Result<bool> StateCopy::on_piece(const NodeId& from, const StatePiece& piece, std::uint64_t bytes,
                                 TimePoint now) {
  auto news = fetch_->on_piece(from, piece, bytes, now);
  if (news && *news) news_at_ = now;
  return news;
}

std::optional<Error> StateCopy::failure(TimePoint now) const {
  const std::vector<Error>& refusals = fetch_->refusals();
  // Nothing follows on what was there: it is as long as the whole.
  if (had_ > 0 && !refusals.empty() && refusals.back().code == ErrorCode::kInvalidArgument)
    return Error{ErrorCode::kCorruption, refusals.back().message};
  if (!fetch_->has_holders() && refusals.size() >= holders().size()) return refusals.back();
  if (now - news_at_ < kCopyPatience) return std::nullopt;
  return Error{ErrorCode::kDeadlineExceeded,
               "nothing came for " + std::to_string(kCopyPatience.count()) + " s from " +
                   std::to_string(holders().size()) + " nodes that have the state"};
}

bool StateCopy::try_again(const Error& why) {
  tries_.pop_front();
  return why.code == ErrorCode::kCorruption && !tries_.empty();
}

}  // namespace coshard::round
