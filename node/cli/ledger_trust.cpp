// SPDX-License-Identifier: Apache-2.0
#include "node/cli/ledger_trust.h"

#include <fstream>

#include "protocol/base/limits.h"

namespace coshard::cli {

Result<ledger::Policy> read_policy(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::string text;
  for (char c = 0; text.size() <= limits::kPolicyBytesMax && in.get(c);) text += c;
  if (!in.is_open()) {
    return fail(ErrorCode::kInvalidArgument,
                file.string() + ": expected a policy file (c2sp.org/tlog-policy), found none");
  }
  auto policy = ledger::Policy::parse(text);
  if (!policy) return tl::unexpected(policy.error().within(file.string()));
  return policy;
}

Result<ledger::ReaderTrust> trust_of(const LedgerQuery& query) {
  ledger::ReaderTrust trust;
  if (!query.vkey.empty()) {
    COSHARD_ASSIGN(trust.pinned, ledger::NoteKey::parse_vkey(query.vkey));
  }
  if (!query.policy.empty()) {
    COSHARD_ASSIGN(trust.policy, read_policy(query.policy));
  }
  return trust;
}

}  // namespace coshard::cli
