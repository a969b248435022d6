// A ledger of random entries that its rules accept, one by one: every kind of leaf, with keys that
// change, rollbacks, voided credits, payouts that come back. The same seed gives the same bytes on
// every machine. For tests that compare readers of a ledger, and for benches. One thread at a time.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "crypto/identity.h"
#include "ledger/accounts.h"
#include "ledger/files.h"

namespace coshard::test {

/// An entry as its author hands it to a sequencer whose clock says `seq_ms`, with the file that has
/// to be published first.
struct RandomEntry {
  ledger::SignedBody body;
  std::uint64_t seq_ms = 0;
  Bytes encoded;                                      ///< the entry, in its place in the log
  std::optional<std::pair<std::string, Bytes>> file;  ///< units/<epoch> of an EpochClose
};

class RandomLedger {
 public:
  explicit RandomLedger(std::uint64_t seed);

  /// The next entry, which accounts() has applied; the first one is the genesis. Never ends: when
  /// the round does, money and keys go on.
  const RandomEntry& next();
  const std::vector<RandomEntry>& entries() const { return entries_; }
  const ledger::Accounts& accounts() const { return accounts_; }

  /// Entries for the next index, most of which the rules refuse: what next() tried in vain before
  /// its last entry, and `mutants` entries spoilt in some way.
  std::vector<Bytes> candidates(std::size_t mutants);

  /// The keys that make checkpoints and the coordinator's entries, for who feeds a sequencer.
  const crypto::KeyPair& log_key() { return key("log", log_keys_); }
  const crypto::KeyPair& operating() { return key("coordinator", 0); }

  /// Publishes everything so far in `folder`, as a log that is published for the first time.
  Result<void> write(ledger::LogFolder& folder);

 private:
  struct Proposal {
    const crypto::KeyPair* author = nullptr;
    std::uint64_t sequence = 0;
    ledger::Leaf leaf;
    const crypto::KeyPair* buyer = nullptr;  ///< signs as well
    std::optional<std::pair<std::string, Bytes>> file;
  };
  using Propose = std::optional<Proposal> (RandomLedger::*)();
  struct Action {
    std::uint64_t weight = 0;
    Propose propose;
  };
  static const std::vector<Action>& actions();

  std::uint64_t below(std::uint64_t n) { return rng_() % n; }
  bool chance(std::uint64_t n) { return below(n) == 0; }
  /// 1 to `most` in most cases, sometimes just outside.
  std::uint64_t amount(std::uint64_t most);
  template <class T>
  const T& one_of(const std::vector<T>& all) {
    return all[below(all.size())];
  }
  Hash hash_of(const std::string& label, std::uint64_t number) const;
  const crypto::KeyPair& key(const std::string& label, std::uint64_t number);
  const crypto::KeyPair* find_key(const crypto::PublicKey& key) const;
  Bytes certificate(std::uint64_t root, std::uint64_t node, std::uint64_t serial);

  Proposal genesis();
  std::vector<ledger::Grant> grants(std::uint64_t points);
  ledger::Params params();
  std::vector<ledger::EntrySignature> govern(ByteView unsigned_leaf);
  const crypto::KeyPair& root() { return key("root", below(roots_)); }
  std::optional<AccountId> account();
  const ledger::EpochState* epoch();
  NodeId node();
  std::optional<Proposal> say(ledger::Leaf leaf);  ///< by the coordinator
  std::optional<Proposal> own(const crypto::KeyPair& root, ledger::Leaf leaf);
  crypto::Signature take_back(const NodeId& node);

  std::optional<Proposal> identity_register();
  std::optional<Proposal> identity_revoke();
  std::optional<Proposal> epoch_open();
  std::optional<Proposal> epoch_close();
  std::optional<Proposal> work_batch();
  std::optional<Proposal> credit();
  std::optional<Proposal> credit_post();
  std::optional<Proposal> checkpoint_record();
  std::optional<Proposal> rollback();
  std::optional<Proposal> burn();
  std::optional<Proposal> key_rotate();
  std::optional<Proposal> witness_register();
  std::optional<Proposal> recovery_name();
  std::optional<Proposal> recovery_claim();
  std::optional<Proposal> recovery_finish();
  std::optional<Proposal> param_change();
  std::optional<Proposal> role_grants();
  std::optional<Proposal> seed_reveal();
  std::optional<Proposal> audit_verdict();
  std::optional<Proposal> credit_void();
  std::optional<Proposal> unit_transfer();
  std::optional<Proposal> bond();
  std::optional<Proposal> bond_release();
  std::optional<Proposal> penalty();
  std::optional<Proposal> revenue_reported();
  std::optional<Proposal> correction();
  std::optional<Proposal> settle();
  std::optional<Proposal> payout_initiated();
  std::optional<Proposal> payout_final();
  std::optional<Proposal> state_snapshot();
  std::optional<Proposal> log_key_rotate();

  std::optional<Proposal> propose();
  ledger::SignedBody sign(const Proposal& proposal) const;
  ledger::LedgerEntry place(const ledger::SignedBody& body, std::uint64_t seq_ms) const;
  Bytes spoil(const Proposal& proposal);

  std::uint64_t seed_;
  std::mt19937_64 rng_;
  ledger::Accounts accounts_;
  std::vector<RandomEntry> entries_;
  std::vector<Bytes> refused_;  // before the last entry, for its index
  std::map<std::string, crypto::KeyPair> keys_;
  std::map<crypto::PublicKey, const crypto::KeyPair*> by_public_;
  std::uint64_t roots_ = 6;
  std::uint64_t nodes_ = 0;
  std::uint64_t witnesses_ = 0;
  std::uint64_t log_keys_ = 0;
};

}  // namespace coshard::test
