// SPDX-License-Identifier: Apache-2.0
#include "node/coordinator/witness_talk.h"

#include "protocol/base/limits.h"

namespace coshard::node {

void WitnessTalk::submit_pending(const ledger::RoundLedger& ledger) {
  const auto& pending = ledger.pending();
  if (!pending || asked_for_ == pending->checkpoint) return;
  desk_.submit(pending->checkpoint, pending->note);
  asked_for_ = pending->checkpoint;
}

Result<void> WitnessTalk::step(ledger::RoundLedger& ledger, const Clock& clock,
                               std::chrono::milliseconds patience) {
  submit_pending(ledger);
  for (auto reply = carrier_->reply(patience); reply;
       reply = carrier_->reply(std::chrono::milliseconds(0))) {
    COSHARD_ASSIGN(const auto cosigned, desk_.take(*reply, clock.now()));
    if (!cosigned) continue;
    COSHARD_TRY(ledger.publish_cosigned(*cosigned));
    COSHARD_TRY(ledger.publish());  // what came in the meantime is signed next
    submit_pending(ledger);
  }
  for (ledger::WitnessRequest& request : desk_.due(clock.now(), ledger.hashes()))
    carrier_->send(std::move(request));
  return {};
}

Result<void> WitnessTalk::await(ledger::RoundLedger& ledger, const Clock& clock, Duration patience,
                                const std::string& advice) {
  const TimePoint deadline = clock.now() + patience;
  // Requests first: nobody has an answer before he was asked.
  if (ledger.pending()) COSHARD_TRY(step(ledger, clock, std::chrono::milliseconds(0)));
  while (ledger.pending() && clock.now() < deadline)
    COSHARD_TRY(step(ledger, clock, limits::kHeartbeatInterval));
  const auto& pending = ledger.pending();
  if (!pending) return {};
  return fail(ErrorCode::kUnavailable,
              "the last checkpoint, of " + std::to_string(pending->checkpoint.size) +
                  " entries, lacks its quorum (" + desk_.policy().describe_quorum() +
                  "): " + advice + ". " + desk_.complaint());
}

}  // namespace coshard::node
