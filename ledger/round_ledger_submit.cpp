// What others ask the coordinator to append. Part of RoundLedger; who may ask for what is in
// requests.cpp, whether the ledger accepts it in the accounts' rules.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include "ledger/round_ledger.h"

namespace coshard::ledger {
namespace {

/// How far back a request of the operator may have been thought of.
constexpr std::uint64_t kRequestAgeMax = 65'536;
constexpr std::uint64_t kReadChunk = 1024;

/// Whose allowance an entry is taken from, nullopt for somebody without a part in the ledger.
std::optional<AccountId> payer_of(const Accounts& accounts, const Body& body) {
  if (const Registration* node = accounts.find_node(body.author)) return node->account;
  if (const auto* claim = std::get_if<RecoveryClaim>(&body.leaf)) {
    const Recovery* recovery = accounts.find_recovery(claim->account);
    const bool is_named = recovery != nullptr && recovery->key == body.author.bytes;
    return is_named ? std::optional(claim->account) : std::nullopt;
  }
  const auto account = accounts.account_of(body.author.bytes);
  return account && accounts.balances().contains(*account) ? account : std::nullopt;
}

/// The same for a leaf that the coordinator writes down for somebody.
std::optional<AccountId> payer_of(const Accounts& accounts, const Leaf& leaf) {
  const auto of_node = [&](const NodeId& node) -> std::optional<AccountId> {
    const Registration* known = accounts.find_node(node);
    return known == nullptr ? std::nullopt : std::optional(known->account);
  };
  if (const auto* one = std::get_if<KeyRotate>(&leaf)) return of_node(one->node);
  if (const auto* one = std::get_if<IdentityRevoke>(&leaf)) return of_node(one->node);
  if (const auto* one = std::get_if<IdentityRegister>(&leaf)) {
    const auto certificate = crypto::NodeCertificate::decode(one->certificate);
    if (certificate && accounts.balances().contains(certificate->account())) {
      return certificate->account();
    }
  }
  return std::nullopt;
}

std::optional<LogIndex> revoked_at(const Accounts& accounts, const NodeId& key) {
  if (const Registration* node = accounts.find_node(key)) return node->revoked;
  const auto witness = accounts.witnesses().find(key.bytes);
  return witness == accounts.witnesses().end() ? std::nullopt : witness->second.revoked;
}

std::optional<LogIndex> registered_at(const Accounts& accounts, const Bytes& bytes) {
  const auto certificate = crypto::NodeCertificate::decode(bytes);
  if (!certificate) return std::nullopt;
  const Registration* known = accounts.find_node(certificate->node());
  if (known == nullptr || known->certificate != *certificate) return std::nullopt;
  return known->index;
}

/// Where the log says what the leaf says already, as far as its keys' states tell.
std::optional<LogIndex> find_done(const Accounts& accounts, const Leaf& leaf) {
  if (const auto* one = std::get_if<IdentityRevoke>(&leaf)) return revoked_at(accounts, one->node);
  if (const auto* one = std::get_if<IdentityRegister>(&leaf)) {
    return registered_at(accounts, one->certificate);
  }
  if (const auto* one = std::get_if<KeyRotate>(&leaf)) {
    const auto index = registered_at(accounts, one->certificate);
    return index == revoked_at(accounts, one->node) ? index : std::nullopt;
  }
  if (const auto* one = std::get_if<WitnessRegister>(&leaf)) {
    const auto certificate = crypto::WitnessCertificate::decode(one->certificate);
    if (!certificate) return std::nullopt;
    const auto known = accounts.witnesses().find(certificate->witness_public);
    if (known == accounts.witnesses().end() || known->second.certificate != *certificate) {
      return std::nullopt;
    }
    return known->second.index;
  }
  return std::nullopt;
}

}  // namespace

/// What the coordinator has said lately, by kind and bytes.
class RoundLedger::Said {
 public:
  void add(const Leaf& leaf, LogIndex index) {
    places_.emplace(std::pair(type_of(leaf), encode_leaf(leaf)), index);
  }
  std::optional<LogIndex> find(const Leaf& leaf) const {
    const auto found = places_.find({type_of(leaf), encode_leaf(leaf)});
    return found == places_.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  std::map<std::pair<LeafType, Bytes>, LogIndex> places_;
};

Result<RoundLedger::Said> RoundLedger::said_since(LogIndex since) {
  COSHARD_TRY(commit());
  Said out;
  const std::uint64_t size = accounts().size();
  for (std::uint64_t at = since.value; at < size; at += kReadChunk) {
    COSHARD_ASSIGN(const auto chunk, store_->read(at, std::min(kReadChunk, size - at)));
    for (const Bytes& bytes : chunk) {
      COSHARD_ASSIGN(const LedgerEntry entry, decode_entry(bytes));
      COSHARD_ASSIGN(const Body body, decode_body(entry.body));
      if (body.author.bytes == operating_->public_key()) out.add(body.leaf, entry.index);
    }
  }
  return out;
}

Result<Asked> RoundLedger::read(ByteView request) const {
  if (!has_genesis()) return fail(ErrorCode::kFailedPrecondition, "the log has not begun");
  return read_request(request, accounts().network(), operating_->public_key());
}

Result<std::vector<LogIndex>> RoundLedger::submit(const Asked& asked, std::uint64_t now_ms) {
  if (const auto* operators = std::get_if<OperatorLeaves>(&asked)) return submit(*operators);
  LogIndex index;
  if (const auto* body = std::get_if<VerifiedBody>(&asked)) {
    COSHARD_ASSIGN(index, submit(*body, now_ms));
  } else {
    COSHARD_ASSIGN(index, submit(std::get<Leaf>(asked), now_ms));
  }
  return std::vector<LogIndex>{index};
}

Result<LogIndex> RoundLedger::submit(const VerifiedBody& asked, std::uint64_t now_ms) {
  const auto payer = payer_of(accounts(), asked.body());
  COSHARD_TRY(limiter_.check(payer, now_ms));
  const std::uint64_t before = accounts().size();
  COSHARD_ASSIGN(const LogIndex index, sequencer_.append(asked));
  if (index.value >= before) limiter_.charge(payer, now_ms);
  return index;
}

Result<LogIndex> RoundLedger::submit(const Leaf& leaf, std::uint64_t now_ms) {
  if (const auto index = find_done(accounts(), leaf)) return *index;
  const auto payer = payer_of(accounts(), leaf);
  COSHARD_TRY(limiter_.check(payer, now_ms));
  const LeafType type = type_of(leaf);
  if (type == LeafType::kParamChange || type == LeafType::kRoleGrants) {
    // Looking through the whole log costs more than an entry: it is paid for first.
    limiter_.charge(payer, now_ms);
    COSHARD_ASSIGN(const Said said, said_since(LogIndex{}));
    if (const auto index = said.find(leaf)) return *index;
    return append(leaf);
  }
  COSHARD_ASSIGN(const LogIndex index, append(leaf));
  limiter_.charge(payer, now_ms);
  return index;
}

Result<std::vector<LogIndex>> RoundLedger::submit(const OperatorLeaves& asked) {
  const std::uint64_t size = accounts().size();
  if (asked.since.value > size || size - asked.since.value > kRequestAgeMax) {
    return fail(ErrorCode::kFailedPrecondition,
                "a request made at the latest " + std::to_string(kRequestAgeMax) +
                    " entries ago was expected: look at the ledger again and ask anew");
  }
  COSHARD_ASSIGN(const Said said, said_since(asked.since));
  std::vector<LogIndex> out;
  for (const Leaf& leaf : asked.leaves) {
    const auto index = say_once(leaf, said);
    if (!index) {
      if (asked.leaves.size() == 1) return tl::unexpected(index.error());
      return tl::unexpected(index.error().within("entry " + std::to_string(out.size() + 1) +
                                                 " of " + std::to_string(asked.leaves.size())));
    }
    out.push_back(*index);
  }
  return out;
}

Result<LogIndex> RoundLedger::say_once(const Leaf& leaf, const Said& said) {
  if (std::holds_alternative<StateSnapshot>(leaf)) return snapshot_once();
  if (const auto index = said.find(leaf)) return *index;
  if (const auto index = find_done(accounts(), leaf)) return *index;
  if (const auto* revenue = std::get_if<RevenueReported>(&leaf)) {
    COSHARD_ASSIGN(const auto index, find_statement(*revenue));
    if (index) return *index;
  }
  return append(leaf);
}

Result<LogIndex> RoundLedger::snapshot_once() {
  COSHARD_TRY(commit());
  const std::uint64_t last = accounts().size() - 1;
  COSHARD_ASSIGN(const auto bytes, store_->read(last, 1));
  COSHARD_ASSIGN(const LedgerEntry entry, decode_entry(bytes.front()));
  COSHARD_ASSIGN(const Body body, decode_body(entry.body));
  if (std::holds_alternative<StateSnapshot>(body.leaf)) return LogIndex(last);
  return append(accounts().snapshot());
}

/// A statement counts once, whenever it comes; with other figures it is a mistake.
Result<std::optional<LogIndex>> RoundLedger::find_statement(const RevenueReported& leaf) const {
  for (const Revenue& known : accounts().revenues()) {
    const auto bytes = store_->read(known.index.value, 1);
    if (!bytes) continue;  // said a moment ago, in this request
    COSHARD_ASSIGN(const LedgerEntry entry, decode_entry(bytes->front()));
    COSHARD_ASSIGN(const Body body, decode_body(entry.body));
    const auto* said = std::get_if<RevenueReported>(&body.leaf);
    if (said == nullptr || said->statement != leaf.statement) continue;
    if (*said == leaf) return known.index;
    return fail(ErrorCode::kFailedPrecondition,
                "this statement is booked already, at entry " + std::to_string(known.index.value) +
                    ", with another amount or reference: " + "correct that entry instead");
  }
  return std::nullopt;
}

}  // namespace coshard::ledger
