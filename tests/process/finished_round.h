// A small round that has ended, as its coordinator leaves it, for the commands that write into its
// ledger. One thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "crypto/secret_file.h"
#include "ledger/verify.h"
#include "node/coordinator/ledger_home.h"
#include "tests/process/program.h"
#include "tests/support/round_fixture.h"

namespace coshard::test {

/// The summary of steps that both nodes did in order: stage s is node s's.
inline ledger::EpochSummary summary_of(const node::RoundFile& round, std::uint64_t epoch,
                                       const std::vector<crypto::Identity>& nodes) {
  ledger::EpochSummary out;
  out.epoch = LedgerEpoch(epoch);
  out.first_step = StepId(epoch * round.ledger.epoch_steps + 1);
  out.last_step = StepId((epoch + 1) * round.ledger.epoch_steps);
  for (std::uint64_t step = out.first_step.value; step <= out.last_step.value; ++step)
    for (std::uint32_t stage = 0; stage < 2; ++stage) {
      for (std::uint32_t m = 0; m < round.training.microbatches; ++m)
        out.units.push_back({Unit{StepId(step), MicrobatchIndex(m), StageIndex(stage), Attempt(0)},
                             nodes[stage].node(), false});
      out.digests.push_back({StepId(step), StageIndex(stage), Fingerprint{1}});
    }
  return out;
}

class FinishedRound : public ::testing::Test {
 protected:
  Ran coshard(std::vector<std::string> arguments) {
    return run_program("coshard", arguments, folder_.path());
  }
  std::string dir() const { return folder_.coordinator_dir().string(); }
  std::string key(std::size_t node) const {
    return (folder_.path() / ("owner-" + std::to_string(node) + ".key")).string();
  }

  /// A ledger in which two nodes own everything, as a coordinator leaves it. Without `post` all of
  /// it is pending.
  void finish_round(bool post = true) {
    const Path at = folder_.coordinator_dir();
    std::filesystem::create_directories(at);
    const std::string text = read_text(folder_.path() / "round.toml");
    write_text(at / "round.toml", text);
    write_text(at / "coordinator.json",
               R"({"pid": 0, "http": "127.0.0.1:1", "model": "mite", "endpoint": ""})");
    const auto coordinator = crypto::Identity::generate();
    ASSERT_TRUE(crypto::save_identity(at / "coordinator.key", coordinator, std::nullopt));
    const SystemClock clock;
    auto home = node::LedgerHome::open(at, folder_.round(), text, coordinator, std::nullopt, clock);
    ASSERT_TRUE(home) << home.error().message;
    ledger::RoundLedger& ledger = (*home)->ledger();
    for (std::size_t i = 0; i < 2; ++i) {
      nodes_.push_back(crypto::Identity::generate());
      ASSERT_TRUE(crypto::save_identity(key(i), nodes_[i], std::nullopt));
      ASSERT_TRUE(ledger.register_identity(nodes_[i].certificate()));
    }
    for (std::uint64_t epoch = 0; epoch < 2; ++epoch) {
      ASSERT_TRUE(ledger.close_epoch(summary_of(folder_.round(), epoch, nodes_)));
      ASSERT_TRUE(ledger.admit_missing(LedgerEpoch(epoch)));
      ASSERT_TRUE(ledger.credit(LedgerEpoch(epoch)));
    }
    if (post) {
      ASSERT_TRUE(ledger.post(StepId(6), {{StageIndex(0), Hash{1}}, {StageIndex(1), Hash{2}}}));
    }
    ASSERT_TRUE(ledger.publish());
  }

  ledger::Accounts accounts() {
    const ledger::DiskFolder log(folder_.coordinator_dir() / "ledger/mite");
    auto read = ledger::verify_ledger(log);
    EXPECT_TRUE(read) << (read ? "" : read.error().message);
    return read->accounts;
  }
  AccountId account(std::size_t node) const { return nodes_[node].account(); }
  std::uint64_t posted(std::size_t node) { return accounts().balance(account(node)).posted; }

  /// Other lines in [ownership]; before finish_round().
  void with_ownership(const std::string& before, const std::string& after) {
    std::string text = read_text(folder_.path() / "round.toml");
    text.replace(text.find(before), before.size(), after);
    write_text(folder_.path() / "round.toml", text);
    folder_.use_round_file(folder_.path() / "round.toml");
  }

  RoundFixture folder_{TinyRound{}};
  std::vector<crypto::Identity> nodes_;
};

}  // namespace coshard::test
