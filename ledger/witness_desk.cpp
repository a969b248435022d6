// SPDX-License-Identifier: Apache-2.0
#include "ledger/witness_desk.h"

#include <algorithm>

#include "ledger/cosignature.h"
#include "ledger/tree_path.h"
#include "protocol/base/limits.h"

namespace coshard::ledger {
namespace {

/// Sizes that one witness may tell in a row before it is left alone for a while.
constexpr std::uint32_t kConflictsMax = 3;

std::string first_line(std::string_view text) {
  return std::string(text.substr(0, std::min(text.find('\n'), limits::kTextBytesMax)));
}

}  // namespace

Result<WitnessDesk> WitnessDesk::open(Policy policy, const NoteKey& log) {
  const auto is_ours = [&log](const PolicyLog& one) { return one.key == log; };
  if (!policy.logs().empty() && std::ranges::none_of(policy.logs(), is_ours)) {
    return fail(
        ErrorCode::kInvalidArgument,
        "witnesses: the policy was expected to list this log, \"log " + log.vkey() + "\", or none");
  }
  std::vector<NoteKey> reachable;
  for (const PolicyWitness& witness : policy.witnesses()) {
    if (!witness.url.empty()) reachable.push_back(witness.key);
  }
  if (!policy.is_met_by(reachable)) {
    return fail(ErrorCode::kInvalidArgument, "witnesses: the quorum, " + policy.describe_quorum() +
                                                 ", cannot be met by those that have an URL");
  }
  return WitnessDesk(std::move(policy));
}

void WitnessDesk::submit(const Checkpoint& checkpoint, std::string note) {
  checkpoint_ = checkpoint;
  note_ = std::move(note);
  lines_.clear();
  for (Seat& seat : seats_) seat.cosigned = false;
}

std::vector<WitnessRequest> WitnessDesk::due(TimePoint now, const LevelHashes& hashes) {
  std::vector<WitnessRequest> out;
  if (!checkpoint_) return out;
  for (std::size_t i = 0; i < seats_.size(); ++i) {
    Seat& seat = seats_[i];
    if (seat.cosigned || seat.in_flight || now < seat.not_before) continue;
    if (policy_.witnesses()[i].url.empty()) continue;
    seat.in_flight = true;
    seat.asked_old = std::min(seat.known_size, checkpoint_->size);
    seat.asked_size = checkpoint_->size;
    AddCheckpoint request{seat.asked_old, {}, note_};
    if (request.old_size > 0) {
      request.proof = consistency_path(hashes, checkpoint_->size, request.old_size);
    }
    out.push_back({i, request.format()});
  }
  return out;
}

void WitnessDesk::postpone(Seat& seat, TimePoint now, std::string trouble) {
  seat.pause =
      std::clamp<Duration>(2 * seat.pause, limits::kWitnessRetryMin, limits::kWitnessRetryMax);
  seat.not_before = now + seat.pause;
  seat.trouble = std::move(trouble);
}

tl::unexpected<Error> WitnessDesk::other_history(std::size_t witness,
                                                 const std::string& what) const {
  return fail(ErrorCode::kCorruption,
              "witness " + policy_.witnesses()[witness].name + " " + what +
                  ": was an old copy of the ledger's store restored? Nothing more is signed; bring "
                  "back the newest store, or begin a new log");
}

Result<void> WitnessDesk::take_conflict(const WitnessReply& reply, TimePoint now) {
  Seat& seat = seats_[reply.witness];
  const auto size = parse_size_body(reply.body);
  if (size && *size > checkpoint_->size) {
    return other_history(reply.witness, "has cosigned " + std::to_string(*size) +
                                            " entries of this log, which has " +
                                            std::to_string(checkpoint_->size));
  }
  if (!size || ++seat.conflicts > kConflictsMax) {
    postpone(seat, now, "tells no size that it then keeps to");
    return {};
  }
  seat.known_size = *size;
  seat.not_before = now;
  return {};
}

Result<std::optional<std::string>> WitnessDesk::take(const WitnessReply& reply, TimePoint now) {
  Seat& seat = seats_[reply.witness];
  const PolicyWitness& witness = policy_.witnesses()[reply.witness];
  seat.in_flight = false;
  if (reply.status == 409) {
    COSHARD_TRY(take_conflict(reply, now));
    return std::nullopt;
  }
  if (reply.status == 422 && seat.asked_old > 0) {
    return other_history(reply.witness, "remembers another history of the first " +
                                            std::to_string(seat.asked_old) + " entries");
  }
  if (reply.status != 200) {
    postpone(seat, now,
             reply.status == 0
                 ? reply.body
                 : "status " + std::to_string(reply.status) + ": " + first_line(reply.body));
    return std::nullopt;
  }
  if (seat.asked_size != checkpoint_->size) {  // of the checkpoint before
    seat.known_size = seat.asked_size;
    seat.not_before = now;
    return std::nullopt;
  }
  const auto line = take_cosignature(note_, reply.body, witness.key);
  if (!line) {
    postpone(seat, now, line.error().message);
    return std::nullopt;
  }
  seat.known_size = seat.asked_size;
  seat.cosigned = true;
  seat.conflicts = 0;
  seat.pause = {};
  seat.trouble.clear();
  lines_ += *line;
  if (!is_met()) return std::nullopt;
  return with_lines(note_, lines_);
}

bool WitnessDesk::is_met() const {
  if (!checkpoint_) return true;
  std::vector<NoteKey> signers;
  for (std::size_t i = 0; i < seats_.size(); ++i) {
    if (seats_[i].cosigned) signers.push_back(policy_.witnesses()[i].key);
  }
  return policy_.is_met_by(signers);
}

std::string WitnessDesk::complaint() const {
  std::string out;
  for (std::size_t i = 0; checkpoint_ && i < seats_.size(); ++i) {
    if (seats_[i].cosigned || seats_[i].trouble.empty()) continue;
    out += (out.empty() ? "" : "; ") + policy_.witnesses()[i].name + ": " + seats_[i].trouble;
  }
  return out;
}

}  // namespace coshard::ledger
