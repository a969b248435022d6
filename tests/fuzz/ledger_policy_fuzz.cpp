// Any bytes as a policy: refused, or one that answers for any set of signers.
// SPDX-License-Identifier: Apache-2.0
#include <cstdint>

#include "ledger/policy.h"
#include "protocol/base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace coshard;
  const auto policy = ledger::Policy::parse(as_text({bytes, size}));
  if (!policy) return 0;
  std::vector<ledger::NoteKey> all;
  for (const ledger::PolicyWitness& witness : policy->witnesses()) all.push_back(witness.key);
  // Nobody is enough for `none` only; everybody always is.
  COSHARD_CHECK(policy->is_met_by({}) == !policy->needs_witnesses());
  COSHARD_CHECK(policy->is_met_by(all));
  COSHARD_CHECK(!policy->describe_quorum().empty());
  return 0;
}
