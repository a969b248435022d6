// SPDX-License-Identifier: Apache-2.0
#include "ledger/round_ledger.h"

#include "crypto/hash.h"
#include "crypto/random.h"
#include "crypto/signed_payload.h"
#include "ledger/merkle.h"
#include "ledger/pricing.h"

namespace coshard::ledger {

std::string units_path(LedgerEpoch epoch) { return "units/" + std::to_string(epoch.value); }

Result<RoundLedger> RoundLedger::open(Store& store, LogFolder& folder,
                                      const crypto::KeyPair& operating,
                                      const crypto::KeyPair& log_key, const Clock& clock,
                                      Publication publication) {
  COSHARD_ASSIGN(Sequencer sequencer, Sequencer::open(store, folder, log_key, clock, publication));
  const Accounts& accounts = sequencer.accounts();
  if (accounts.has_genesis() && accounts.genesis().coordinator != operating.public_key()) {
    return fail(ErrorCode::kPermissionDenied,
                "the ledger in this folder belongs to another coordinator's key");
  }
  return RoundLedger(std::move(sequencer), operating, store);
}

Result<LogIndex> RoundLedger::append(const Leaf& leaf, std::vector<SideFile> files) {
  const NetworkId network = has_genesis() ? accounts().network() : crypto::kNoNetwork;
  COSHARD_ASSIGN(const VerifiedBody body,
                 VerifiedBody::verify(
                     sign_body(*operating_, network, accounts().next_sequence(), leaf), network));
  return sequencer_.append(body, std::move(files));
}

Result<NetworkId> RoundLedger::genesis(Genesis round) {
  if (has_genesis()) return fail(ErrorCode::kFailedPrecondition, "the log has begun already");
  round.coordinator = operating_->public_key();
  round.log_key = sequencer_.log_key().public_key();
  round.nonce = crypto::random_array<32>();
  COSHARD_TRY(append(round));
  COSHARD_TRY(announce_next());
  return accounts().network();
}

Result<Bytes> RoundLedger::genesis_entry() const {
  COSHARD_ASSIGN(std::vector<Bytes> first, store_->read(0, 1));
  return std::move(first.front());
}

Result<LogIndex> RoundLedger::register_identity(const crypto::NodeCertificate& certificate) {
  if (const Registration* known = accounts().find_node(certificate.node());
      known != nullptr && known->certificate == certificate && !known->revoked) {
    return known->index;
  }
  return append(IdentityRegister{certificate.encode()});
}

Result<OpenEpoch> RoundLedger::open_epoch() const {
  if (!accounts().open_epochs().empty()) return accounts().open_epochs().front();
  return fail(ErrorCode::kFailedPrecondition, "no ledger epoch is announced");
}

/// Nobody knows it before it is revealed, and the coordinator need not remember it: Ed25519 signs
/// the same bytes always the same way.
Hash RoundLedger::seed_of(LedgerEpoch epoch) const {
  Bytes payload;
  put_be<std::uint64_t>(payload, epoch.value);
  return crypto::sha256(crypto::sign_payload(*operating_, crypto::domains::kAuditSeed,
                                             accounts().network(), payload));
}

Result<void> RoundLedger::announce_next() {
  auto next = accounts().next_epoch();
  if (!next) return {};  // no step is left, or the round has ended
  next->seed_commitment = seed_commitment(seed_of(next->epoch));
  COSHARD_TRY(append(*next));
  return {};
}

Result<LogIndex> RoundLedger::close_epoch(const EpochSummary& summary) {
  if (!has_genesis()) return fail(ErrorCode::kFailedPrecondition, "the log has not begun");
  COSHARD_ASSIGN(const EpochClose close, close_of(accounts().genesis(), summary));
  COSHARD_ASSIGN(const LogIndex index,
                 append(close, {{units_path(summary.epoch), encode_units_file(summary)}}));
  if (accounts().open_epochs().empty()) COSHARD_TRY(announce_next());
  return index;
}

std::vector<NodeTotal> RoundLedger::missing_batches(LedgerEpoch epoch) const {
  std::vector<NodeTotal> out;
  if (epoch.value >= accounts().epochs().size()) return out;
  const EpochState& state = accounts().epochs()[epoch.value];
  for (const NodeTotal& total : state.close.totals) {
    if (!state.batches.contains({total.stage, total.node})) out.push_back(total);
  }
  return out;
}

Result<std::size_t> RoundLedger::admit_missing(LedgerEpoch epoch) {
  const std::vector<NodeTotal> missing = missing_batches(epoch);
  for (const NodeTotal& total : missing) {
    WorkBatch batch;
    batch.epoch = epoch;
    batch.stage = total.stage;
    batch.node = total.node;
    batch.units = total.units;
    batch.repairs = total.repairs;
    batch.tokens = total.tokens;
    batch.flops = price(accounts().genesis(), total.stage, total.tokens);
    batch.receipts_root = empty_root();
    COSHARD_TRY(append(batch));
  }
  return missing.size();
}

Result<void> RoundLedger::credit(LedgerEpoch epoch) {
  if (has_genesis() && accounts().genesis().stages() == 1) return {};
  COSHARD_ASSIGN(const Credit credit, accounts().credit_for(epoch));
  if (accounts().epochs()[epoch.value].seed == Hash{}) {
    COSHARD_TRY(append(SeedReveal{epoch, seed_of(epoch)}));
  }
  COSHARD_TRY(append(credit));
  return settle();
}

Result<void> RoundLedger::post(StepId step, std::vector<ShardHash> shards) {
  COSHARD_TRY(append(CheckpointRecord{step, std::move(shards)}));
  const std::uint64_t posted = accounts().totals().posted;
  COSHARD_TRY(settle());
  return accounts().totals().posted == posted ? Result<void>{} : snapshot();
}

/// Whatever the last checkpoint covers is credited (where a rollback had taken that back) and
/// posted.
Result<void> RoundLedger::settle() {
  if (accounts().genesis().stages() == 1) return {};  // credits nobody
  using Status = EpochState::Status;
  for (std::size_t i = 0; i < accounts().epochs().size(); ++i) {
    const LedgerEpoch epoch(i);
    const auto status = [&] { return accounts().epochs()[i].status; };
    if (accounts().epochs()[i].close.last_step > accounts().covered_step()) continue;
    const bool again = accounts().epochs()[i].close.last_step <= accounts().committed_step();
    if (status() == Status::kVoided && accounts().epochs()[i].is_complete() && again) {
      COSHARD_ASSIGN(const Credit credit, accounts().credit_for(epoch));
      COSHARD_TRY(append(credit));
    }
    if (status() == Status::kPending && accounts().is_unchallenged(epoch)) {
      COSHARD_TRY(append(CreditPost{epoch, accounts().covering_checkpoint()}));
    }
  }
  return {};
}

Result<void> RoundLedger::snapshot() {
  COSHARD_TRY(append(accounts().snapshot()));
  return {};
}

Result<LogIndex> RoundLedger::rotate_log_key(const crypto::KeyPair& next, std::uint64_t overlap) {
  const LogKeyRotate leaf = sign_log_key_rotate(sequencer_.log_key(), next, accounts().network(),
                                                accounts().size() + 1 + overlap);
  COSHARD_ASSIGN(const LogIndex index, append(leaf));
  sequencer_.change_log_key(next);
  return index;
}

Result<LogIndex> RoundLedger::say(const Leaf& leaf) { return append(leaf); }

Result<void> RoundLedger::rollback(StepId to_step, LedgerEpoch next_epoch, std::string reason) {
  const bool went_on = accounts().epochs().size() > next_epoch.value;
  if (went_on || accounts().committed_step() == to_step) return {};
  COSHARD_TRY(append(Rollback{to_step, std::move(reason)}));
  return announce_next();
}

Result<void> RoundLedger::burn_rest(std::string reason) {
  if (accounts().totals().remaining == 0) return {};
  COSHARD_TRY(append(Burn{accounts().totals().remaining, std::move(reason)}));
  COSHARD_TRY(settle());  // what waited for epochs that will not come
  return snapshot();
}

}  // namespace coshard::ledger
