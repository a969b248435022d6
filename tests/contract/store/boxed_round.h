// A small round whose ledger is on a virtual disk, store and folder, and the oracle beside it that
// remembers what was promised.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ledger/store/sqlite_store.h"
#include "ledger/verify.h"
#include "tests/support/virtual_disk.h"
#include "tests/unit/ledger/small_round.h"

namespace coshard::ledger {

/// A store that says "done" one transaction too early: what the harness has to find.
class HastyStore final : public Store {
 public:
  explicit HastyStore(std::unique_ptr<Store> inner) : inner_(std::move(inner)) {}
  Result<std::uint64_t> size() const override { return *inner_->size() + late_.size(); }
  Result<void> append(std::uint64_t, const std::vector<Bytes>& entries,
                      const std::vector<SideFile>& files) override {
    COSHARD_TRY(catch_up());
    late_ = entries;
    late_files_ = files;
    return {};
  }
  Result<std::vector<Bytes>> read(std::uint64_t first, std::uint64_t count) const override {
    COSHARD_ASSIGN(const std::uint64_t stored, inner_->size());
    std::vector<Bytes> out;
    for (std::uint64_t i = first; i < first + count; ++i) {
      if (i >= stored) {
        out.push_back(late_[i - stored]);
        continue;
      }
      COSHARD_ASSIGN(const std::vector<Bytes> one, inner_->read(i, 1));
      out.push_back(one.front());
    }
    return out;
  }
  Result<std::vector<SideFile>> side_files() const override { return inner_->side_files(); }
  Result<std::optional<std::string>> signed_checkpoint() const override {
    return inner_->signed_checkpoint();
  }
  Result<void> swap_signed_checkpoint(const std::optional<std::string>& expected,
                                      const std::string& next) override {
    return inner_->swap_signed_checkpoint(expected, next);
  }
  Result<std::string> role() const override { return inner_->role(); }
  Result<void> set_role(const std::string& role) override { return inner_->set_role(role); }

 private:
  Result<void> catch_up() {
    COSHARD_ASSIGN(const std::uint64_t stored, inner_->size());
    COSHARD_TRY(inner_->append(stored, late_, late_files_));
    late_.clear();
    late_files_.clear();
    return {};
  }
  std::unique_ptr<Store> inner_;
  std::vector<Bytes> late_;
  std::vector<SideFile> late_files_;
};

struct BoxedRound {
  explicit BoxedRound(bool hasty = false) : is_hasty(hasty) {
    round.folder = std::make_shared<DiskFolder>("/box/public", disk);
  }

  Result<void> open_store() {
    round.store.reset();
    COSHARD_ASSIGN(auto opened, open_sqlite_store("/box/ledger.sqlite", disk.vfs()));
    if (is_hasty) opened = std::make_unique<HastyStore>(std::move(opened));
    round.store = std::move(opened);
    return {};
  }

  /// Works until something fails or there is nothing to do. What it was told goes to the oracle.
  Result<void> live(Rng& rng) {
    COSHARD_TRY(open_store());
    COSHARD_ASSIGN(RoundLedger ledger, round.open());
    if (!ledger.has_genesis()) COSHARD_TRY(ledger.genesis(round.params));
    for (std::uint64_t i = 1; i < 120; ++i) {
      const bool known = i <= round.nodes.size();
      if (rng.below(3) > 0 || known) {
        const crypto::Identity node = test_identity(static_cast<std::uint8_t>(i));
        COSHARD_TRY(ledger.register_identity(node.certificate()));
      } else if (const auto open = ledger.open_epoch(); open) {
        COSHARD_TRY(ledger.close_epoch(
            round.summary(open->epoch.value, open->first_step.value, open->last_step.value)));
      }
      if (rng.below(2) == 0) COSHARD_TRY(commit(ledger));
      if (rng.below(4) == 0) COSHARD_TRY(publish(ledger));
    }
    return publish(ledger);
  }
  Result<void> commit(RoundLedger& ledger) {
    COSHARD_TRY(ledger.commit());
    acknowledged = std::max(acknowledged, ledger.accounts().size());
    return {};
  }
  Result<void> publish(RoundLedger& ledger) {
    COSHARD_ASSIGN(const Checkpoint checkpoint, ledger.publish());
    acknowledged = std::max(acknowledged, checkpoint.size);
    seen.push_back(checkpoint);
    return {};
  }

  /// Takes note of the checkpoint that a reader could have fetched by now, promised or not.
  void look_at_folder() {
    const auto file = round.folder->read("checkpoint", 1u << 16);
    if (!file || !round.store) return;
    const NoteKey key{round.params.origin, round.log_key.public_key()};
    const auto note = open_note(as_text(*file), std::span(&key, 1));
    if (!note) return;
    if (const auto checkpoint = Checkpoint::parse(note->text)) seen.push_back(*checkpoint);
  }

  /// Opens what is left, and says what promise was broken; empty: none.
  std::string broken_promise() {
    if (const auto opened = open_store(); !opened) return opened.error().message;
    const auto size = round.store->size();
    if (!size || *size < acknowledged)
      return "acknowledged " + std::to_string(acknowledged) + " entries, there are " +
             std::to_string(size.value_or(0));
    auto ledger = round.open();
    if (!ledger) return ledger.error().message;
    if (!ledger->has_genesis()) return seen.empty() ? "" : "the log is gone";
    const auto now = ledger->publish();
    if (!now) return now.error().message;
    const auto verified = verify_ledger(*round.folder);  // tiles and side files against the root
    if (!verified) return verified.error().message;
    std::vector<Hash> leaves;
    const auto entries = round.store->read(0, now->size);
    if (!entries) return entries.error().message;
    for (const Bytes& entry : *entries) leaves.push_back(leaf_hash(entry));
    if (root_of(leaves) != verified->checkpoint.root) return "the folder is not of the store";
    for (const Checkpoint& one : seen) {
      if (one.size > leaves.size() || root_of(std::span(leaves).first(one.size)) != one.root)
        return "a fork at " + std::to_string(one.size) + " entries";
    }
    const auto files = round.store->side_files();
    if (!files) return files.error().message;
    for (const SideFile& file : *files) {
      const auto published = round.folder->read(file.path, 1u << 24);
      if (!published || *published != file.bytes) return file.path + " is not published";
    }
    acknowledged = now->size;
    seen.push_back(*now);
    return "";
  }

  test::VirtualDisk disk;
  SmallRound round;
  bool is_hasty;
  std::uint64_t acknowledged = 0;
  std::vector<Checkpoint> seen;
};

}  // namespace coshard::ledger
