// A log of entries that nobody judges, its key and its witnesses: what the tests of witnesses,
// policies and proofs ask. Deterministic.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "ledger/checkpoint.h"
#include "ledger/cosignature.h"
#include "ledger/store/memory_store.h"
#include "ledger/tree_path.h"
#include "ledger/witness.h"
#include "tests/unit/ledger/small_round.h"

namespace coshard::ledger {

struct ToyLog {
  /// Entry i says `story` and i: logs of different stories fork where they begin.
  explicit ToyLog(std::uint64_t size = 0, std::string name = "example.org/coshard/m/toy",
                  std::uint8_t key_number = 77)
      : origin(std::move(name)), key(test_key(key_number)) {
    grow(size);
  }
  void grow(std::uint64_t count, const std::string& story = "entry ") {
    for (; count > 0; --count) {
      const std::string entry = story + std::to_string(entries.size());
      entries.push_back(to_bytes(as_bytes(entry)));
      leaves.push_back(leaf_hash(entries.back()));
      hashes.append(leaves.back());
    }
  }
  std::uint64_t size() const { return leaves.size(); }
  NoteKey note_key() const { return {origin, key.public_key()}; }
  Checkpoint checkpoint(std::uint64_t at) const { return {origin, at, root_at(hashes, at)}; }
  std::string note(std::uint64_t at) const { return *sign_checkpoint(checkpoint(at), key); }
  std::string note() const { return note(size()); }
  /// What a log sends to a witness that has cosigned `old` entries.
  AddCheckpoint request(std::uint64_t old, std::uint64_t at) const {
    return {old, old == 0 ? std::vector<Hash>{} : consistency_path(hashes, at, old), note(at)};
  }

  std::string origin;
  crypto::KeyPair key;
  std::vector<Bytes> entries;
  std::vector<Hash> leaves;
  LevelHashes hashes;
};

/// A store that fails when it is told to.
class FailingStore final : public Store {
 public:
  Result<void> append(std::uint64_t first, const std::vector<Bytes>& entries,
                      const std::vector<SideFile>& files) override {
    if (fails) return fail(ErrorCode::kResourceExhausted, "the disk is full");
    ++transactions;
    return inner_.append(first, entries, files);
  }
  Result<std::uint64_t> size() const override { return inner_.size(); }
  Result<std::vector<Bytes>> read(std::uint64_t first, std::uint64_t count) const override {
    return inner_.read(first, count);
  }
  Result<std::vector<SideFile>> side_files() const override { return inner_.side_files(); }
  Result<std::optional<std::string>> signed_checkpoint() const override { return std::nullopt; }
  Result<void> swap_signed_checkpoint(const std::optional<std::string>&,
                                      const std::string&) override {
    return {};
  }
  Result<std::string> role() const override { return inner_.role(); }
  Result<void> set_role(const std::string& role) override { return inner_.set_role(role); }

  bool fails = false;
  int transactions = 0;

 private:
  MemoryStore inner_;
};

struct ToyWitness {
  explicit ToyWitness(std::uint8_t number, const ToyLog& log)
      : name("witness-" + std::to_string(number) + ".example"),
        key(test_key(number)),
        book(memory, folder, {name, &key, {{log.origin, {log.note_key()}}}}) {}
  ToyWitness(const ToyWitness&) = delete;
  ToyWitness& operator=(const ToyWitness&) = delete;

  NoteKey note_key() const { return {name, key.public_key(), NoteKeyType::kCosignatureV1}; }
  std::string line(const std::string& text) const { return cosign(text, name, key, 1'700'000'000); }
  WitnessAnswer ask(const AddCheckpoint& request) {
    return book.add_checkpoint(request.format(), 1'700'000'000);
  }
  std::vector<std::string> evidence_files() const {
    std::vector<std::string> out;
    for (const auto& [path, bytes] : folder.files) {
      if (path.find("/evidence-") != std::string::npos) out.emplace_back(as_text(bytes));
    }
    return out;
  }

  std::string name;
  crypto::KeyPair key;
  FailingStore memory;
  MemoryFolder folder;  ///< for evidence
  WitnessBook book;
};

/// "witness w1 VKEY URL" for each, and a quorum of k of them.
inline std::string policy_text(const ToyLog& log, const std::vector<const ToyWitness*>& witnesses,
                               std::size_t k) {
  std::string text = "log " + log.note_key().vkey() + "\n";
  std::string names;
  for (std::size_t i = 0; i < witnesses.size(); ++i) {
    const std::string name = "w" + std::to_string(i + 1);
    text += "witness " + name + " " + witnesses[i]->note_key().vkey() + " http://" + name + "\n";
    names += " " + name;
  }
  return text + "group all-of-us " + std::to_string(k) + names + "\nquorum all-of-us\n";
}

}  // namespace coshard::ledger
