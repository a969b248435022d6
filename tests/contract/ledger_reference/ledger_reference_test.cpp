// Random ledgers under two implementations of ledger/FORMAT.md, this one and one in Python: the
// same state root after every entry, the same verdict about entries that most rules refuse. A seed
// that fails is run again with COSHARD_LEDGER_SEED=… COSHARD_LEDGER_SEEDS=1.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "ledger/verify.h"
#include "tests/support/process.h"
#include "tests/support/random_ledger.h"

namespace coshard::test {
namespace {

using namespace ledger;

std::uint64_t number_of(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

struct Answer {
  int status = -1;
  std::string output;
};

Answer replay(const TempDir& dir, std::vector<std::string> flags) {
  flags.insert(flags.begin(), {COSHARD_REPLAY, (dir / "log").string()});
  ChildProcess python(Spawn{COSHARD_PYTHON3, flags, dir / "output", {}, {}});
  const auto status = python.wait_exit(std::chrono::minutes(4));
  return {status.value_or(-1), python.output()};
}

/// What this implementation says of an entry at the end of `before`.
std::string verdict(const Accounts& before, ByteView bytes) {
  const auto entry = decode_entry(bytes);
  if (!entry) return "refused";
  Accounts after = before;
  if (!after.apply(LogIndex(before.size()), *entry)) return "refused";
  return to_hex(after.state_root());
}

TEST(LedgerReference, AgreesAboutEveryPrefixAndEveryCandidate) {
  const std::uint64_t first = number_of("COSHARD_LEDGER_SEED", 1);
  const std::uint64_t seeds = number_of("COSHARD_LEDGER_SEEDS", 4);
  std::size_t refused = 0;
  std::size_t accepted = 0;
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    SCOPED_TRACE("COSHARD_LEDGER_SEED=" + std::to_string(seed));
    const TempDir dir;
    RandomLedger ledger(seed);
    std::string roots;
    std::string candidates;
    for (int i = 0; i < 350; ++i) {
      ledger.next();
      const std::string size = std::to_string(ledger.accounts().size());
      roots += size + " " + to_hex(ledger.accounts().state_root()) + "\n";
      for (const Bytes& one : ledger.candidates(2)) {
        const std::string said = verdict(ledger.accounts(), one);
        (said == "refused" ? refused : accepted) += 1;
        candidates += size + " " + said + " " + to_hex(one) + "\n";
      }
    }
    write_text(dir / "roots", roots);
    write_text(dir / "candidates", candidates);
    DiskFolder folder(dir / "log");
    ASSERT_TRUE(ledger.write(folder).has_value());
    const Answer answer = replay(
        dir, {"--roots", (dir / "roots").string(), "--candidates", (dir / "candidates").string()});
    ASSERT_EQ(answer.status, 0) << answer.output;
    EXPECT_EQ(answer.output, "350 " + to_hex(ledger.accounts().state_root()) + "\n");
  }
  RecordProperty("refused", static_cast<int>(refused));
  RecordProperty("accepted", static_cast<int>(accepted));
  EXPECT_GT(refused, 500 * seeds);  // else the candidates have become too tame to tell anything
  EXPECT_GT(accepted, 10 * seeds);
}

TEST(LedgerReference, RefusesAFolderWithADamagedFile) {
  const std::uint64_t seed = number_of("COSHARD_LEDGER_SEED", 1);
  SCOPED_TRACE("COSHARD_LEDGER_SEED=" + std::to_string(seed));
  const TempDir dir;
  RandomLedger ledger(seed);
  for (int i = 0; i < 80; ++i) ledger.next();
  DiskFolder folder(dir / "log");
  ASSERT_TRUE(ledger.write(folder).has_value());
  std::mt19937_64 rng(seed);
  const std::vector<std::string> names = *folder.list("");
  for (const std::string& name : names) {
    const Bytes whole = *folder.read(name, 1 << 26);
    Bytes damaged = whole;
    damaged[rng() % damaged.size()] ^= static_cast<std::uint8_t>(1u << rng() % 7);
    ASSERT_TRUE(folder.write(name, damaged).has_value());
    EXPECT_FALSE(verify_ledger(folder).has_value()) << name;
    EXPECT_EQ(replay(dir, {}).status, 1) << name;
    ASSERT_TRUE(folder.write(name, whole).has_value());
  }
  EXPECT_EQ(replay(dir, {}).status, 0);
}

}  // namespace
}  // namespace coshard::test
