// Between a round's ledger and its witnesses: gives the desk what waits to be cosigned, carries its
// requests, publishes what has its quorum. For the coordinator while it runs, and for the command
// line that writes into the ledger of a round that has ended. The ledger's thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "ledger/round_ledger.h"
#include "node/coordinator/witness_pool.h"

namespace coshard::node {

class WitnessTalk {
 public:
  WitnessTalk(ledger::WitnessDesk desk, std::unique_ptr<WitnessCarrier> carrier)
      : desk_(std::move(desk)), carrier_(std::move(carrier)) {}

  /// Takes the answers that have come, publishes what has its quorum, asks who is due. Waits for a
  /// witness at most `patience`. Errors of WitnessDesk::take and of publishing.
  Result<void> step(ledger::RoundLedger& ledger, const Clock& clock,
                    std::chrono::milliseconds patience);
  /// Steps until nothing waits for a cosignature. kUnavailable after `patience`, saying who has not
  /// answered; `advice` says what to do about it. What is durable stays so.
  Result<void> await(ledger::RoundLedger& ledger, const Clock& clock, Duration patience,
                     const std::string& advice);
  const ledger::WitnessDesk& desk() const { return desk_; }

 private:
  void submit_pending(const ledger::RoundLedger& ledger);

  ledger::WitnessDesk desk_;
  std::optional<ledger::Checkpoint> asked_for_;  ///< what the desk was last given
  std::unique_ptr<WitnessCarrier> carrier_;
};

}  // namespace coshard::node
