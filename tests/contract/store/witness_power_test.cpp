// A witness whose power goes at any write or sync of its memory: whatever it has cosigned it knows
// afterwards, so that no log can show it a second history.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "ledger/store/sqlite_store.h"
#include "tests/support/virtual_disk.h"
#include "tests/unit/ledger/toy_log.h"

namespace coshard::ledger {
namespace {

struct Box {
  Box() {
    for (std::uint8_t i = 0; i < 2; ++i) {
      logs.emplace_back(12, "example.org/coshard/m/toy-" + std::to_string(i),
                        static_cast<std::uint8_t>(100 + i));
      setup.logs[logs.back().origin] = {logs.back().note_key()};
    }
  }
  Result<std::unique_ptr<Store>> open() {
    return open_sqlite_store("/box/memory.sqlite", disk.vfs());
  }
  /// Cosigns until something fails or the logs end; remembers what it has answered.
  void live() {
    const auto memory = open();
    if (!memory) return;
    WitnessBook book(**memory, evidence, setup);
    for (std::uint64_t at = 1; at <= 12; ++at) {
      for (std::size_t i = 0; i < logs.size(); ++i) {
        if (answered[i] != at - 1) continue;
        const std::string body = logs[i].request(at - 1, at).format();
        if (book.add_checkpoint(body, 1).status == 200) answered[i] = at;
      }
    }
  }
  /// What the witness knows of a log: entries; nothing where its memory cannot be read.
  Result<std::uint64_t> known(std::size_t i) {
    COSHARD_ASSIGN(const auto memory, open());
    const auto last = WitnessBook(*memory, evidence, setup).last(logs[i].origin);
    if (!last && last.error().code == ErrorCode::kNotFound) return std::uint64_t{0};
    COSHARD_TRY(last);
    const NoteKey log = logs[i].note_key();
    COSHARD_ASSIGN(const Note note, open_note(*last, std::span(&log, 1)));
    COSHARD_ASSIGN(const Checkpoint checkpoint, Checkpoint::parse(note.text));
    return checkpoint.size;
  }

  test::VirtualDisk disk;
  MemoryFolder evidence;
  const crypto::KeyPair key = test_key(3);
  WitnessSetup setup{"witness.example", &key, {}};
  std::vector<ToyLog> logs;
  std::uint64_t answered[2] = {0, 0};
};

std::string forgotten(std::uint64_t at, bool ignores_syncs) {
  Rng rng(at, 17);
  Box box;
  box.disk.ignores_syncs = ignores_syncs;
  box.disk.power_until = at;
  box.live();
  box.disk.power_until = box.disk.operations();
  box.disk.restart(rng);
  for (std::size_t i = 0; i < 2; ++i) {
    const auto known = box.known(i);
    if (!known) return known.error().message;
    if (*known < box.answered[i]) {
      return "cosigned " + std::to_string(box.answered[i]) + " entries, knows " +
             std::to_string(*known);
    }
  }
  return "";
}

TEST(WitnessPower, WhatWasCosignedIsKnownWhereverThePowerWent) {
  Box whole;
  whole.live();
  EXPECT_EQ(whole.answered[1], 12U);
  const std::uint64_t operations = whole.disk.operations();
  EXPECT_GT(operations, 40U);
  for (std::uint64_t at = 0; at < operations; ++at) {
    EXPECT_EQ(forgotten(at, false), "") << "cut at operation " << at;
  }
}

// The test can fail: a drive that does not do what it is told.
TEST(WitnessPower, ADriveThatIgnoresSyncsIsFound) {
  int found = 0;
  for (std::uint64_t at = 40; at < 80; ++at) found += forgotten(at, true).empty() ? 0 : 1;
  EXPECT_GT(found, 2);
}

}  // namespace
}  // namespace coshard::ledger
