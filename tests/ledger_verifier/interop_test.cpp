// A verifier written only from public specifications accepts our ledgers and refuses a changed one.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <fstream>

#include "crypto/random.h"
#include "ledger/verify.h"
#include "tests/unit/ledger/small_round.h"

namespace coshard::ledger {
namespace {

namespace fs = std::filesystem;
constexpr int kNoGo = 77;

int run_verifier(const fs::path& folder) {
  const std::string command = std::string(COSHARD_LEDGER_VERIFIER) + " '" + folder.string() + "'";
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

}  // namespace
}  // namespace coshard::ledger
