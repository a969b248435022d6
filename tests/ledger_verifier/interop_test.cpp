// A verifier written only from public specifications accepts our ledgers and refuses a changed one.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <fstream>

#include "crypto/random.h"
#include "ledger/verify.h"
#include "tests/unit/ledger/toy_log.h"

namespace coshard::ledger {
namespace {

namespace fs = std::filesystem;
constexpr int kNoGo = 77;

int run_verifier(const fs::path& folder, const std::vector<std::string>& keys = {}) {
  std::string command = std::string(COSHARD_LEDGER_VERIFIER) + " '" + folder.string() + "'";
  for (const std::string& key : keys) command += " '" + key + "'";
  const int status = std::system(command.c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/// About 1,500 entries in nine publications.
Result<void> write_long_ledger(SmallRound& round) {
  constexpr std::uint64_t kEpochs = 180;
  round.params.total_steps = kEpochs;
  round.params.epoch_steps = 1;
  COSHARD_ASSIGN(RoundLedger ledger, round.begin());
  for (std::uint64_t epoch = 0; epoch < kEpochs; ++epoch) {
    COSHARD_TRY(round.run_epoch(ledger, epoch, epoch + 1, epoch + 1));
    COSHARD_TRY(ledger.post(StepId(epoch + 1), round.shards()));
    if (epoch % 20 == 19) COSHARD_TRY(ledger.publish());
  }
  return {};
}

TEST(Interop, GoVerifierAcceptsOurLedgerAndRefusesAFlippedByte) {
  const fs::path folder =
      fs::path(::testing::TempDir()) / ("coshard-interop-" + to_hex(crypto::random_array<6>()));
  SmallRound round;
  round.folder = std::make_shared<DiskFolder>(folder);
  ASSERT_OK(write_long_ledger(round));
  const auto verified = verify_ledger(*round.folder);
  ASSERT_OK(verified);
  EXPECT_GE(verified->checkpoint.size, 1400u);
  EXPECT_EQ(verified->accounts.totals().posted, round.params.unit_cap);
  const int accepted = run_verifier(folder);
  if (accepted == kNoGo) {
    fs::remove_all(folder);
    GTEST_SKIP() << "Go or golang.org/x/mod is missing (golang-go, golang-golang-x-mod-dev)";
  }
  EXPECT_EQ(accepted, 0);
  for (const char* path : {"tile/entries/003", "tile/0/001", "checkpoint", "log.vkey"}) {
    std::fstream file(folder / path, std::ios::in | std::ios::out | std::ios::binary);
    ASSERT_TRUE(file.is_open()) << path;
    file.seekg(40);
    const char byte = static_cast<char>(file.get());
    file.seekp(40);
    file.put(static_cast<char>(byte ^ 1));
    file.close();
    EXPECT_EQ(run_verifier(folder), 1) << path;
    EXPECT_FALSE(verify_ledger(*round.folder).has_value()) << path;
    std::fstream(folder / path, std::ios::in | std::ios::out | std::ios::binary)
        .seekp(40)
        .put(byte);
  }
  EXPECT_EQ(run_verifier(folder), 0);
  fs::remove_all(folder);
}

// The log of the reference's own test (ledger.md 1.5): every leaf, inclusion and consistency
// proofs, and two witnesses' cosignatures.
TEST(Interop, GoVerifierOnSeventyThousandLeavesWithCosignatures) {
  const fs::path path =
      fs::path(::testing::TempDir()) / ("coshard-interop-" + to_hex(crypto::random_array<6>()));
  ToyLog log(70'000);
  DiskFolder folder(path);
  const auto source = [&log](std::uint64_t first,
                             std::uint64_t count) -> Result<std::vector<Bytes>> {
    const auto from = log.entries.begin() + static_cast<std::ptrdiff_t>(first);
    return std::vector<Bytes>(from, from + static_cast<std::ptrdiff_t>(count));
  };
  ASSERT_OK(publish_tiles(folder, 0, log.size(), log.hashes, source));
  ToyWitness a(1, log), b(2, log);
  const std::string text = log.checkpoint(log.size()).text();
  const std::string vkey = log.note_key().vkey();
  const std::vector<std::string> both{vkey, a.note_key().vkey(), b.note_key().vkey()};
  ASSERT_OK(folder.write("checkpoint", as_bytes(log.note() + a.line(text) + b.line(text))));
  const int accepted = run_verifier(path, both);
  if (accepted == kNoGo) {
    fs::remove_all(path);
    GTEST_SKIP() << "Go or golang.org/x/mod is missing (golang-go, golang-golang-x-mod-dev)";
  }
  EXPECT_EQ(accepted, 0);
  ASSERT_OK(folder.write("checkpoint", as_bytes(log.note() + a.line(text))));
  EXPECT_EQ(run_verifier(path, both), 1) << "one witness is missing";
  const std::string other = b.line(log.checkpoint(5).text());
  ASSERT_OK(folder.write("checkpoint", as_bytes(log.note() + a.line(text) + other)));
  EXPECT_EQ(run_verifier(path, both), 1) << "one cosignature is of another checkpoint";
  ASSERT_OK(folder.write("checkpoint", as_bytes(log.note())));
  std::fstream file(path / "tile/entries/200", std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(1000);
  file.put('!');
  file.close();
  EXPECT_EQ(run_verifier(path, {vkey}), 1) << "one byte of an entry";
  fs::remove_all(path);
}

}  // namespace
}  // namespace coshard::ledger
