// What a round must come to: the same model trained by one engine in this process, microbatch after
// microbatch; and a ledger that verifies. One thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "ledger/verify.h"
#include "tests/support/round_fixture.h"

namespace coshard::test {

struct ReferenceRun {
  std::vector<MetricsLine> lines;
  std::vector<std::string> parameters;  ///< fp32 bytes, in global order
};

/// Trains all steps of `round` on the data of `manifest`. The updates of `skipped` steps are left
/// out, and have a loss that is not a number.
ReferenceRun reference_run(const node::RoundFile& round, const Path& manifest,
                           const std::set<std::uint64_t>& skipped = {});

/// The parameters in the checkpoint of `step`, in global order over all stages.
std::vector<std::string> checkpoint_parameters(const node::RoundFile& round,
                                               const std::vector<Path>& checkpoint_folders,
                                               std::uint64_t step);

/// One replica per stage: every loss, norm and parameter that the round left is the reference's.
void expect_same_bits(const RoundFolder& round, const ReferenceRun& reference);
/// Whatever was done to the `struck` nodes of a round: the coordinator and all other nodes ran to
/// their end without being lost, every step was committed once, the ledger verifies, units are
/// conserved, and whoever did counted work is paid, also who died.
void expect_done_once(RoundFixture& round, const std::set<std::size_t>& struck);
/// And it came to what an undisturbed one comes to: losses are those of the reference. `skipped`:
/// steps without an update.
void expect_survived(RoundFixture& round, const std::set<std::size_t>& struck,
                     const std::set<std::uint64_t>& skipped = {});

/// More replicas: gradients add in another order, so losses differ by rounding, 1e-5 at most.
void expect_same_losses(const RoundFolder& round, const ReferenceRun& reference);

/// The round's published ledger, verified as anybody would.
ledger::VerifiedLedger expect_verified(const RoundFolder& round);

}  // namespace coshard::test
