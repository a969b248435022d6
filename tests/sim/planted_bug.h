// Bugs that a virtual round commits on purpose, to show that its checkers can fail: in the engine,
// the network, the shells and the disk around the machines, never in the machines themselves. One
// thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "protocol/base/rng.h"

namespace coshard::simtest {

enum class Bug : std::uint8_t {
  kNone = 0,
  kCountTwice,           ///< a gradient is added to the sum twice
  kForgetUnit,           ///< a gradient is not added, and the unit is said to be done
  kMissingContribution,  ///< a reducer leaves a contribution out
  kFencedGradient,       ///< a reducer keeps what was sent for an average that came to nothing
  kWrongTensor,          ///< a neighbour gets other bytes than its unit's
  kApplyTwice,           ///< an update is applied twice
  kSkipUpdate,           ///< an update is said to be applied, and is not
  kStaleMember,          ///< a step commits before a replica has its average
  kSpeakBeforeWriting,   ///< a commit is announced that no disk has
  kWrongHolder,          ///< an average is handed on with other bytes than it was got with
  kDeafNode,             ///< a node hears no step open, however often it is said
  kOthersTime,           ///< a coordinator takes the time from whoever speaks to it
  kCountsSleep,          ///< a process counts time in which it stood still as others' silence
  kForgottenCommit,      ///< a dead coordinator's journal lacks what was written and spoken last
  kEmptyHoldings,        ///< a node says that it holds nothing of a step
  kOldGeneration,        ///< a node obeys a coordinator that was replaced
  kLostRecord,           ///< a dead coordinator's journal lacks its last record
  kUntoldRollback,       ///< the ledger is not told that steps are done again
  kForgottenEpoch,       ///< the ledger is not told of an epoch
  kKeepsRelieved,        ///< a node says that it gave a unit back, and goes on with it
};
inline constexpr int kBugs = 21;

constexpr std::string_view name_of(Bug bug) {
  constexpr std::string_view kNames[kBugs] = {
      "None",          "CountTwice",    "ForgetUnit", "MissingContribution", "FencedGradient",
      "WrongTensor",   "ApplyTwice",    "SkipUpdate", "StaleMember",         "SpeakBeforeWriting",
      "WrongHolder",   "DeafNode",      "OthersTime", "CountsSleep",         "ForgottenCommit",
      "EmptyHoldings", "OldGeneration", "LostRecord", "UntoldRollback",      "ForgottenEpoch",
      "KeepsRelieved"};
  return kNames[static_cast<int>(bug)];
}

/// Decides when the bug of one round shows: now and then, as bugs do.
class PlantedBug {
 public:
  PlantedBug(Bug bug, std::uint64_t seed) : bug_(bug), rng_(seed, 0xB06) {}

  /// Whether it happens at this place, which is `here`'s, this time.
  bool strikes(Bug here) { return bug_ == here && rng_.below(8) == 0 && ++struck_ > 0; }
  /// Whether it happens at this place every time.
  bool is(Bug here) { return bug_ == here && ++struck_ > 0; }
  std::uint64_t struck() const { return struck_; }

 private:
  Bug bug_;
  Rng rng_;
  std::uint64_t struck_ = 0;
};

}  // namespace coshard::simtest
