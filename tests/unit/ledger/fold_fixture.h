// A fold that tests speak to directly, so that entries may be false.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "crypto/signed_payload.h"
#include "ledger/accounts.h"
#include "ledger/merkle.h"
#include "ledger/pricing.h"
#include "tests/unit/ledger/small_round.h"

namespace coshard::ledger {

/// The coordinator, the nodes and the owners of a small round, and the fold over what they say.
struct Fold {
  Accounts accounts;
  SmallRound round;

  explicit Fold(std::uint32_t stages = 2, std::uint64_t steps_before = 0)
      : Fold(round_of(stages, steps_before)) {}
  explicit Fold(SmallRound with) : round(std::move(with)) {
    Genesis genesis = round.params;
    genesis.coordinator = round.operating.public_key();
    genesis.log_key = round.log_key.public_key();
    start = say(genesis);
    for (const crypto::Identity& node : round.nodes) {
      if (start) start = say(IdentityRegister{node.certificate().encode()});
    }
    if (start) start = say(*accounts.next_epoch());
  }

  static SmallRound round_of(std::uint32_t stages, std::uint64_t steps_before) {
    SmallRound round(stages);
    round.params.steps_before = steps_before;
    return round;
  }
  /// A round with a currency, in which recovery takes two days and a bond two epochs.
  static SmallRound with_money() {
    SmallRound round;
    round.params.currency = "USD";
    round.params.recovery_days = 2;
    round.params.params.bond_epochs = 2;
    return round;
  }

  Result<void> apply(const SignedBody& body) {
    LedgerEntry entry;
    entry.index = LogIndex(accounts.size());
    entry.seq_ms = now_ms;
    entry.body = body.body;
    entry.signatures = body.signatures;
    return accounts.apply(entry.index, entry);
  }
  NetworkId network() const {
    return accounts.has_genesis() ? accounts.network() : crypto::kNoNetwork;
  }
  Result<void> say(const Leaf& leaf) {
    return apply(sign_body(round.operating, network(), accounts.next_sequence(), leaf));
  }
  Result<void> close(std::uint64_t epoch, std::uint64_t first, std::uint64_t last) {
    COSHARD_ASSIGN(const EpochClose close,
                   close_of(accounts.genesis(), round.summary(epoch, first, last)));
    return say(close);
  }
  WorkBatch batch(std::uint64_t epoch, const NodeTotal& total) const {
    WorkBatch out;
    out.epoch = LedgerEpoch(epoch);
    out.stage = total.stage;
    out.node = total.node;
    out.units = total.units;
    out.repairs = total.repairs;
    out.tokens = total.tokens;
    out.flops = price(accounts.genesis(), total.stage, total.tokens);
    return out;
  }
  Result<void> hand_in_all(std::uint64_t epoch) {
    const std::vector<NodeTotal> totals = accounts.epochs()[epoch].close.totals;
    for (const NodeTotal& total : totals) COSHARD_TRY(say(batch(epoch, total)));
    return {};
  }
  /// Closes, hands in and credits.
  Result<void> finish_epoch(std::uint64_t epoch, std::uint64_t first, std::uint64_t last) {
    COSHARD_TRY(close(epoch, first, last));
    COSHARD_TRY(hand_in_all(epoch));
    COSHARD_ASSIGN(const Credit credit, accounts.credit_for(LedgerEpoch(epoch)));
    return say(credit);
  }
  Result<void> open_next() {
    COSHARD_ASSIGN(const EpochOpen next, accounts.next_epoch());
    return say(next);
  }
  /// What an owner signs with his root, and whoever else after him.
  SignedBody signed_by(const crypto::KeyPair& root, const Leaf& leaf,
                       std::initializer_list<const crypto::KeyPair*> others = {}) const {
    const auto account = accounts.account_of(root.public_key());
    const std::uint64_t number = account ? accounts.balance(*account).entries + 1 : 1;
    SignedBody body = sign_body(root, network(), number, leaf);
    for (const crypto::KeyPair* other : others) countersign(body, *other);
    return body;
  }
  void countersign(SignedBody& body, const crypto::KeyPair& key) const {
    body.signatures.push_back(
        {key.public_key(),
         crypto::sign_payload(key, crypto::domains::kEntryBody, network(), body.body)});
  }
  Result<void> own(const crypto::KeyPair& root, const Leaf& leaf,
                   std::initializer_list<const crypto::KeyPair*> others = {}) {
    return apply(signed_by(root, leaf, others));
  }
  Result<void> own(const crypto::Identity& owner, const Leaf& leaf) {
    return own(owner.root(), leaf);
  }
  /// Epochs of ten steps, closed, credited, covered and posted.
  Result<void> post_epochs(std::uint64_t first, std::uint64_t last) {
    for (std::uint64_t epoch = first; epoch <= last; ++epoch) {
      COSHARD_TRY(finish_epoch(epoch, 10 * epoch + 1, 10 * epoch + 10));
      COSHARD_TRY(say(CheckpointRecord{StepId(10 * epoch + 10), round.shards()}));
      for (std::uint64_t e = 0; e <= epoch; ++e) {
        if (accounts.epochs()[e].status == EpochState::Status::kPending &&
            accounts.is_unchallenged(LedgerEpoch(e))) {
          COSHARD_TRY(say(CreditPost{LedgerEpoch(e), accounts.covering_checkpoint()}));
        }
      }
      if (accounts.next_epoch()) COSHARD_TRY(open_next());
    }
    return {};
  }
  Result<void> report(std::uint64_t amount) {
    RevenueReported leaf{amount, "statement", {}};
    leaf.statement = leaf_hash(encode(LedgerEntry{1, LogIndex(accounts.size()), 0, {}, {}}));
    return say(leaf);
  }
  std::uint64_t credited(std::uint64_t epoch) const {
    std::uint64_t sum = 0;
    for (const CreditLine& line : accounts.epochs()[epoch].credit) sum += line.units;
    return sum;
  }

  std::uint64_t now_ms = 0;
  Result<void> start;
};

/// Applying must fail and leave not a byte of state changed.
#define EXPECT_REFUSED(fold, expression, code)              \
  do {                                                      \
    const Bytes state_before = (fold).accounts.serialize(); \
    EXPECT_ERROR(expression, code);                         \
    EXPECT_EQ((fold).accounts.serialize(), state_before);   \
  } while (false)

}  // namespace coshard::ledger
