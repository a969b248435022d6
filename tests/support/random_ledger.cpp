// SPDX-License-Identifier: Apache-2.0
#include "tests/support/random_ledger.h"

#include <algorithm>

#include "crypto/hash.h"
#include "crypto/signed_payload.h"
#include "ledger/merkle.h"
#include "ledger/note.h"
#include "ledger/tiles.h"
#include "protocol/base/check.h"

namespace coshard::test {

using namespace ledger;

RandomLedger::RandomLedger(std::uint64_t seed) : seed_(seed), rng_(seed) {
  for (std::uint64_t i = 0; i < roots_; ++i) key("root", i);
}

std::uint64_t RandomLedger::amount(std::uint64_t most) {
  switch (below(16)) {
    case 0:
      return most;
    case 1:
      return most + 1;
    case 2:
      return 0;
    default:
      return most == 0 ? 1 : 1 + below(most);
  }
}

Hash RandomLedger::hash_of(const std::string& label, std::uint64_t number) const {
  Bytes numbers;
  put_be<std::uint64_t>(numbers, seed_);
  put_be<std::uint64_t>(numbers, number);
  return crypto::domain_hash("random-ledger/" + label, {numbers});
}

const crypto::KeyPair& RandomLedger::key(const std::string& label, std::uint64_t number) {
  const std::string name = label + "/" + std::to_string(number);
  auto found = keys_.find(name);
  if (found == keys_.end()) {
    found = keys_.emplace(name, *crypto::KeyPair::from_seed(hash_of(label, number))).first;
    by_public_[found->second.public_key()] = &found->second;
  }
  return found->second;
}

const crypto::KeyPair* RandomLedger::find_key(const crypto::PublicKey& key) const {
  const auto found = by_public_.find(key);
  return found == by_public_.end() ? nullptr : found->second;
}

std::optional<RandomLedger::Proposal> RandomLedger::propose() {
  if (!accounts_.has_genesis()) return genesis();
  if (accounts_.nodes().size() < 3) return identity_register();
  std::uint64_t sum = 0;
  for (const Action& action : actions()) sum += action.weight;
  std::uint64_t drawn = below(sum);
  for (const Action& action : actions()) {
    if (drawn < action.weight) return (this->*action.propose)();
    drawn -= action.weight;
  }
  return std::nullopt;
}

SignedBody RandomLedger::sign(const Proposal& proposal) const {
  const NetworkId network = accounts_.has_genesis() ? accounts_.network() : crypto::kNoNetwork;
  SignedBody out = sign_body(*proposal.author, network, proposal.sequence, proposal.leaf);
  if (proposal.buyer != nullptr) {
    out.signatures.push_back(
        {proposal.buyer->public_key(),
         crypto::sign_payload(*proposal.buyer, crypto::domains::kEntryBody, network, out.body)});
  }
  return out;
}

LedgerEntry RandomLedger::place(const SignedBody& body, std::uint64_t seq_ms) const {
  LedgerEntry out;
  out.index = LogIndex(accounts_.size());
  out.seq_ms = seq_ms;
  out.body = body.body;
  out.signatures = body.signatures;
  return out;
}

const RandomEntry& RandomLedger::next() {
  refused_.clear();
  for (int attempt = 0; attempt < 100'000; ++attempt) {
    const std::optional<Proposal> proposal = propose();
    if (!proposal) continue;
    constexpr std::uint64_t kHalfDayMs = 12 * 60 * 60 * 1000;
    const std::uint64_t seq_ms =
        accounts_.last_ms() + (chance(20) ? below(2 * kHalfDayMs) : below(1000));
    RandomEntry entry{sign(*proposal), seq_ms, {}, proposal->file};
    const LedgerEntry placed = place(entry.body, seq_ms);
    entry.encoded = encode(placed);
    COSHARD_CHECK_OP(entry.encoded.size(), <=, limits::kEntryBytesMax);
    if (!accounts_.apply(LogIndex(accounts_.size()), placed)) {
      refused_.push_back(std::move(entry.encoded));
      continue;
    }
    const LeafType type = type_of(proposal->leaf);
    if (type == LeafType::kRecoveryClaim) ++roots_;
    if (type == LeafType::kLogKeyRotate) ++log_keys_;
    if (type == LeafType::kWitnessRegister) ++witnesses_;
    if (type == LeafType::kIdentityRegister || type == LeafType::kKeyRotate) ++nodes_;
    entries_.push_back(std::move(entry));
    return entries_.back();
  }
  COSHARD_CHECK(false && "a random ledger always goes on");
  return entries_.back();
}

/// One of many ways to say it wrongly; some are right all the same.
Bytes RandomLedger::spoil(const Proposal& original) {
  Proposal proposal = original;
  const std::uint64_t way = below(13);
  if (way == 0) proposal.sequence += chance(2) ? 1 : ~std::uint64_t{0};
  if (way == 1) proposal.author = &root();
  if (way == 2) proposal.author = &operating();
  if (way == 3) proposal.buyer = &root();
  SignedBody body = sign(proposal);
  const NetworkId network = accounts_.has_genesis() ? accounts_.network() : crypto::kNoNetwork;
  if (way >= 4 && way <= 6) {  // another claim, properly signed
    body.body[below(body.body.size())] ^= static_cast<std::uint8_t>(1u << below(8));
    body.signatures = {
        {proposal.author->public_key(),
         crypto::sign_payload(*proposal.author, crypto::domains::kEntryBody, network, body.body)}};
  }
  if (way == 7) body.signatures.push_back(body.signatures.front());
  if (way == 8) body.signatures.back().signature[below(64)] ^= 1;
  LedgerEntry entry = place(body, accounts_.last_ms() + below(10));
  if (way == 9) entry.index = LogIndex(entry.index.value + 1);
  if (way == 10) entry.seq_ms = accounts_.last_ms() - 1;
  if (way == 11) entry.version = 2;
  Bytes encoded = encode(entry);
  if (way == 12) encoded[below(encoded.size())] ^= static_cast<std::uint8_t>(1u << below(8));
  return encoded;
}

std::vector<Bytes> RandomLedger::candidates(std::size_t mutants) {
  // What was refused before the last entry, said again after it.
  std::vector<Bytes> out;
  for (const Bytes& one : refused_) {
    auto entry = *decode_entry(one);
    entry.index = LogIndex(accounts_.size());
    entry.seq_ms = std::max(entry.seq_ms, accounts_.last_ms());
    out.push_back(encode(entry));
  }
  for (std::size_t made = 0; made < mutants;) {
    const std::optional<Proposal> proposal = propose();
    if (!proposal) continue;
    out.push_back(spoil(*proposal));
    ++made;
  }
  std::erase_if(out, [](const Bytes& one) { return one.size() > limits::kEntryBytesMax; });
  return out;
}

Result<void> RandomLedger::write(LogFolder& folder) {
  LevelHashes hashes;
  CompactTree tree;
  for (const RandomEntry& entry : entries_) {
    hashes.append(leaf_hash(entry.encoded));
    tree.append(leaf_hash(entry.encoded));
    if (entry.file) COSHARD_TRY(folder.write(entry.file->first, entry.file->second));
  }
  const EntrySource source = [&](std::uint64_t first,
                                 std::uint64_t count) -> Result<std::vector<Bytes>> {
    std::vector<Bytes> out;
    for (std::uint64_t i = first; i < first + count; ++i) out.push_back(entries_[i].encoded);
    return out;
  };
  COSHARD_TRY(publish_tiles(folder, 0, entries_.size(), hashes, source));
  const std::string& origin = accounts_.genesis().origin;
  const NoteKey note_key{origin, log_key().public_key()};
  COSHARD_TRY(folder.write("log.vkey", as_bytes(note_key.vkey() + "\n")));
  COSHARD_ASSIGN(const std::string note,
                 sign_checkpoint({origin, entries_.size(), tree.root()}, log_key()));
  return folder.write("checkpoint", as_bytes(note));
}

}  // namespace coshard::test
