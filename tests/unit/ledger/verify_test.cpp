// A flipped byte anywhere in a ledger's folder is found and its file named (reference ledger.md
// A1);
// what the queries print.
// SPDX-License-Identifier: Apache-2.0
#include "ledger/verify.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "crypto/random.h"
#include "node/cli/ledger_queries.h"
#include "tests/unit/ledger/small_round.h"

namespace coshard::ledger {
namespace {

namespace fs = std::filesystem;

/// A small finished round, published twice so that a partial tile of an earlier size is there too.
Result<void> write_small_ledger(SmallRound& round) {
  round.nodes.erase(round.nodes.begin() + 2, round.nodes.end());  // one replica of each stage
  round.params.microbatches = 1;
  round.params.total_steps = 15;
  round.params.epoch_steps = 3;
  COSHARD_ASSIGN(RoundLedger ledger, round.begin());
  COSHARD_TRY(ledger.publish());
  COSHARD_TRY(round.run_epoch(ledger, 0, 1, 3));
  COSHARD_TRY(ledger.post(StepId(3), round.shards()));
  COSHARD_TRY(round.run_epoch(ledger, 1, 4, 4));
  COSHARD_TRY(ledger.publish());
  return {};
}

TEST(Verify, AcceptsWhatTheRoundWrote) {
  SmallRound round;
  ASSERT_OK(write_small_ledger(round));
  const auto verified = verify_ledger(*round.folder);
  ASSERT_OK(verified);
  EXPECT_EQ(verified->accounts.epochs().size(), 2u);
  EXPECT_EQ(verified->accounts.totals().posted, 200'000u);
  EXPECT_EQ(verified->checkpoint.size, verified->entries.size());
  EXPECT_EQ(static_cast<MemoryFolder&>(*round.folder).files.count("units/1"), 1u);
}

/// Node 3 (stage 1) dies in step 2: what it had in that step and would have had in step 3 is done
/// by node 1, in step 2 as another attempt; node 0 passed a microbatch on for it, which is repair
/// work. The dead node's batch never comes.
TEST(Verify, AcceptsAnEpochInWhichANodeDied) {
  SmallRound round;
  round.params.epoch_steps = 3;
  auto ledger = round.begin();
  ASSERT_OK(ledger);
  EpochSummary summary = round.summary(0, 1, 3);
  const NodeId dead = round.nodes[3].node(), heir = round.nodes[1].node();
  std::uint64_t counted = 0, redone = 0;
  for (CommittedUnit& one : summary.units) {
    if (one.node != dead) continue;
    if (one.unit.step == StepId(1)) {
      ++counted;
      continue;
    }
    one.node = heir;
    if (one.unit.step == StepId(2)) one.unit.attempt = Attempt(1);
    ++redone;
  }
  ASSERT_GT(counted, 0u);
  ASSERT_GT(redone, 0u);
  const Unit passed{StepId(2), MicrobatchIndex(0), StageIndex(0), Attempt(1)};
  summary.units.push_back({passed, round.nodes[0].node(), true});
  summary.members = {{StageIndex(1), dead, Incarnation(1)}, {StageIndex(1), heir, Incarnation(2)}};
  ASSERT_OK(ledger->close_epoch(summary));
  for (const NodeTotal& total : ledger->missing_batches(LedgerEpoch(0))) {
    if (total.node == dead) {
      EXPECT_EQ(total.units, counted);
    }
    if (total.node != dead) ASSERT_OK(admit(*ledger, round.batch_bytes(*ledger, 0, total)));
  }
  EXPECT_ERROR(ledger->credit(LedgerEpoch(0)), ErrorCode::kFailedPrecondition);
  EXPECT_EQ(ledger->admit_missing(LedgerEpoch(0)).value(), 1u);
  ASSERT_OK(ledger->credit(LedgerEpoch(0)));
  ASSERT_OK(ledger->post(StepId(3), round.shards()));
  ASSERT_OK(ledger->publish());
  const auto verified = verify_ledger(*round.folder);
  ASSERT_OK(verified);
  EXPECT_GT(verified->accounts.balance(round.nodes[3].account()).posted, 0u);
  EXPECT_EQ(
      verified->accounts.epochs()[0].find_total(StageIndex(0), round.nodes[0].node())->repairs, 1u);
}

TEST(Verify, EveryFlippedByteIsFoundAndItsFileNamed) {
  SmallRound round;
  ASSERT_OK(write_small_ledger(round));
  auto& files = static_cast<MemoryFolder&>(*round.folder).files;
  std::size_t flips = 0;
  for (auto& [path, bytes] : files) {
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      const std::uint8_t kept = bytes[i];
      bytes[i] = static_cast<std::uint8_t>(kept ^ (1u << (i % 8)));
      const auto verified = verify_ledger(*round.folder);
      ASSERT_FALSE(verified.has_value()) << path << " byte " << i;
      // A key that was changed cannot be told from a checkpoint that was: either is named.
      const bool named = verified.error().message.find("mem/" + path) != std::string::npos ||
                         (path == "log.vkey" &&
                          verified.error().message.find("mem/checkpoint") != std::string::npos);
      ASSERT_TRUE(named) << path << " byte " << i << ": " << verified.error().message;
      bytes[i] = kept;
      ++flips;
    }
  }
  EXPECT_GT(flips, 5000u);
  ASSERT_OK(verify_ledger(*round.folder));
}

TEST(Verify, MissingAndUnknownFilesAreNamed) {
  SmallRound round;
  ASSERT_OK(write_small_ledger(round));
  auto& files = static_cast<MemoryFolder&>(*round.folder).files;
  const auto names = files;
  for (const auto& [path, bytes] : names) {
    files.erase(path);
    const auto verified = verify_ledger(*round.folder);
    const auto tile = TileId::parse(path);
    const bool stale = tile && tile->is_partial() && tile->width == 4;
    EXPECT_EQ(verified.has_value(), stale) << path;
    if (!verified) {
      EXPECT_NE(verified.error().message.find(path), std::string::npos) << verified.error().message;
    }
    files = names;
  }
  for (const char* extra : {"units/2", "units/00", "readme.txt", "tile/0/001", "tile/x", "a/b"}) {
    files[extra] = Bytes{1};
    const auto verified = verify_ledger(*round.folder);
    ASSERT_FALSE(verified.has_value()) << extra;
    EXPECT_NE(verified.error().message.find(extra), std::string::npos);
    files = names;
  }
}

TEST(Verify, PinnedKeyDecides) {
  SmallRound round;
  ASSERT_OK(write_small_ledger(round));
  const NoteKey key{round.params.origin, round.log_key.public_key()};
  ASSERT_OK(verify_ledger(*round.folder, key));
  EXPECT_ERROR(verify_ledger(*round.folder, NoteKey{key.name, test_key(9).public_key()}),
               ErrorCode::kPermissionDenied);
}

// A log whose every signature is right, but whose coordinator breaks a rule.
TEST(Verify, SignedEntryAgainstTheRulesIsNamed) {
  SmallRound round;
  ASSERT_OK(write_small_ledger(round));
  std::vector<Bytes> entries = *round.store->read(0, *round.store->size());
  LedgerEntry false_credit;
  false_credit.index = LogIndex(entries.size());
  const SignedBody body = sign_body(round.operating, round.open()->accounts().network(),
                                    round.open()->accounts().next_sequence(), Burn{5, "for me"});
  false_credit.body = body.body;
  false_credit.signatures = body.signatures;
  entries.push_back(encode(false_credit));
  LevelHashes hashes;
  for (const Bytes& entry : entries) hashes.append(leaf_hash(entry));
  MemoryFolder folder;
  ASSERT_OK(publish_tiles(folder, 0, hashes.size(), hashes, [&](std::uint64_t, std::uint64_t) {
    return Result<std::vector<Bytes>>(entries);
  }));
  const std::string vkey = NoteKey{round.params.origin, round.log_key.public_key()}.vkey() + "\n";
  folder.files["log.vkey"] = to_bytes(as_bytes(vkey));
  folder.files["checkpoint"] = to_bytes(as_bytes(*sign_checkpoint(
      {round.params.origin, hashes.size(), root_of(hashes.leaves())}, round.log_key)));
  const auto verified = verify_ledger(folder);
  EXPECT_ERROR(verified, ErrorCode::kCorruption);
  EXPECT_NE(verified.error().message.find("entry " + std::to_string(entries.size() - 1)),
            std::string::npos)
      << verified.error().message;
}

class Queries : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(::testing::TempDir()) / ("coshard-" + to_hex(crypto::random_array<6>()));
    round_.folder = std::make_shared<DiskFolder>(folder_ / "ledger" / "small");
    ASSERT_OK(write_small_ledger(round_));
    query_.ledger = folder_;
  }
  void TearDown() override { fs::remove_all(folder_); }

  using Command = int (*)(const cli::LedgerQuery&, std::ostream&, std::ostream&);
  int ask(Command command) {
    std::ostringstream out;
    std::ostringstream err;
    const int code = command(query_, out, err);
    out_ = out.str();
    err_ = err.str();
    return code;
  }
  nlohmann::json ask_json(Command command) {
    query_.json = true;
    EXPECT_EQ(ask(command), 0) << err_;
    return nlohmann::json::parse(out_);
  }

  SmallRound round_;
  fs::path folder_;
  cli::LedgerQuery query_;
  std::string out_;
  std::string err_;
};

TEST_F(Queries, OwnershipAddsUp) {
  const auto json = ask_json(cli::run_ownership);
  std::uint64_t posted = 0;
  std::uint64_t ppm = 0;
  for (const auto& owner : json["owners"]) {
    posted += owner["posted"].get<std::uint64_t>();
    ppm += owner["share_ppm"].get<std::uint64_t>();
  }
  EXPECT_EQ(posted, 200'000u);
  EXPECT_EQ(json["units"]["posted"], posted);
  EXPECT_GE(ppm, 999'990u);
  EXPECT_LE(ppm, 1'000'000u);
  query_.json = false;
  EXPECT_EQ(ask(cli::run_ownership), 0);
  EXPECT_NE(out_.find("posted 200,000 + pending 66,667"), std::string::npos) << out_;
}

TEST_F(Queries, FindsTheFolderFromAbove) {
  for (const fs::path& at : {folder_, folder_ / "ledger", folder_ / "ledger" / "small"}) {
    query_.ledger = at;
    EXPECT_EQ(ask(cli::run_verify), 0) << err_;
  }
  query_.model = "small";
  EXPECT_EQ(ask(cli::run_ownership), 0);
  query_.ledger = folder_;
  query_.model = "large";
  EXPECT_EQ(ask(cli::run_ownership), 2);
  EXPECT_NE(err_.find("there are: small"), std::string::npos) << err_;
  query_ = {};
  query_.ledger = folder_ / "nowhere";
  EXPECT_EQ(ask(cli::run_verify), 2);
  EXPECT_EQ(std::count(err_.begin(), err_.end(), '\n'), 1);
  query_.ledger = folder_ / "ledger" / "small" / "tile";
  EXPECT_EQ(ask(cli::run_verify), 2);
}

TEST_F(Queries, BalanceAndStatementOfOneAccount) {
  query_.account = round_.nodes[0].account().hex();
  const auto balance = ask_json(cli::run_balance);
  const auto statement = ask_json(cli::run_statement);
  ASSERT_FALSE(statement["events"].empty());
  EXPECT_EQ(statement["events"].back()["posted"], balance["models"][0]["posted"]);
  EXPECT_EQ(statement["events"].back()["pending"], balance["models"][0]["pending"]);
  EXPECT_EQ(statement["events"].front()["entry"], "identity_register");
  std::uint64_t last = 0;
  for (const auto& event : statement["events"]) {
    EXPECT_GE(event["index"].get<std::uint64_t>(), last);
    last = event["index"];
  }
  query_.json = false;
  query_.account = query_.account.substr(0, 8);
  EXPECT_EQ(ask(cli::run_statement), 0);
  EXPECT_NE(out_.find("owned now"), std::string::npos) << out_;
  EXPECT_EQ(ask(cli::run_balance), 0);
}

TEST_F(Queries, BadAccountIsBadInput) {
  for (const char* account : {"", "abc", "XYZ", "ffffffffff", "0123456789abcdef0"}) {
    query_.account = account;
    EXPECT_EQ(ask(cli::run_balance), 2) << account;
    EXPECT_EQ(std::count(err_.begin(), err_.end(), '\n'), 1);
  }
}

TEST_F(Queries, VerifyFailsWithTheFilesName) {
  const fs::path tile = folder_ / "ledger" / "small" / "tile" / "entries";
  fs::path bundle;
  for (const auto& file : fs::recursive_directory_iterator(tile)) {
    if (file.is_regular_file() &&
        file.file_size() > fs::file_size(bundle.empty() ? file.path() : bundle) - 1) {
      bundle = file.path();
    }
  }
  std::fstream stream(bundle, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekg(700);
  const char byte = static_cast<char>(stream.get());
  stream.seekp(700);
  stream.put(static_cast<char>(byte ^ 4));
  stream.close();
  EXPECT_EQ(ask(cli::run_verify), 1);
  EXPECT_NE(err_.find(bundle.string()), std::string::npos) << err_;
  EXPECT_NE(err_.find("entry "), std::string::npos) << err_;
  EXPECT_EQ(ask(cli::run_ownership), 1);
  query_.account = round_.nodes[0].account().hex();
  EXPECT_EQ(ask(cli::run_balance), 1);
  EXPECT_EQ(ask(cli::run_statement), 1);
}

TEST_F(Queries, LinksAndStrayFilesFailVerification) {
  const fs::path model = folder_ / "ledger" / "small";
  fs::create_symlink("/etc/hostname", model / "units" / "7");
  EXPECT_EQ(ask(cli::run_verify), 1);
  fs::remove(model / "units" / "7");
  std::ofstream(model / "notes.txt") << "hello";
  EXPECT_EQ(ask(cli::run_verify), 1);
  EXPECT_NE(err_.find("notes.txt"), std::string::npos);
  fs::remove(model / "notes.txt");
  EXPECT_EQ(ask(cli::run_verify), 0) << err_;
}

TEST_F(Queries, PinnedKeyIsAskedFor) {
  query_.vkey = NoteKey{round_.params.origin, round_.log_key.public_key()}.vkey();
  EXPECT_EQ(ask(cli::run_verify), 0) << err_;
  query_.vkey = NoteKey{round_.params.origin, test_key(9).public_key()}.vkey();
  EXPECT_EQ(ask(cli::run_verify), 1);
  query_.vkey = "nonsense";
  EXPECT_EQ(ask(cli::run_verify), 2);
}

}  // namespace
}  // namespace coshard::ledger
