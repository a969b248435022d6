// The file units/<epoch>: every committed unit of a ledger epoch, the digests of the parameters
// after each step and who held what. Too long for an entry, so EpochClose names its hash. Pure; any
// thread. Bytes: FORMAT.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "ledger/leaves.h"
#include "protocol/base/commit_scalars.h"

namespace coshard::ledger {

/// A unit whose work counts, and whose work it was.
struct CommittedUnit {
  Unit unit;
  NodeId node;
  bool repair = false;  ///< recomputed on the coordinator's order; the step counted another attempt
  bool operator==(const CommittedUnit&) const = default;
};

/// Fingerprint of a stage's parameters after a step.
struct StageDigest {
  StepId step;
  StageIndex stage;
  Fingerprint digest{};
  bool operator==(const StageDigest&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.step);
    codec(2, self.stage);
    codec(3, self.digest);
  }
};

/// A node that held a stage during the epoch.
struct EpochMember {
  StageIndex stage;
  NodeId node;
  Incarnation incarnation;
  bool operator==(const EpochMember&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.stage);
    codec(2, self.node);
    codec(3, self.incarnation);
  }
};

/// What the coordinator hands to the ledger when an epoch's last step is committed. Any order:
/// encoding sorts.
struct EpochSummary {
  LedgerEpoch epoch;
  StepId first_step;
  StepId last_step;
  std::vector<CommittedUnit> units;
  std::vector<StageDigest> digests;
  std::vector<EpochMember> members;
  bool operator==(const EpochSummary&) const = default;
};

/// The file's bytes, with units in the order (step, stage, microbatch, attempt).
Bytes encode_units_file(EpochSummary summary);

/// kInvalidArgument: malformed, not canonical, too long, or out of order.
Result<EpochSummary> decode_units_file(ByteView bytes);

/// The leaf of a units file: root, hash and totals of `summary`. kInvalidArgument, naming the
/// place, when some (step, stage, microbatch) of the epoch is not counted exactly once, or a unit
/// is outside the epoch or the model.
Result<EpochClose> close_of(const Genesis& genesis, const EpochSummary& summary);

/// Checks a published file against its leaf: hash, order, root, every total.
Result<void> verify_units_file(const Genesis& genesis, const EpochClose& close, ByteView bytes);

}  // namespace coshard::ledger
