// coshard-witness over HTTP: what a log's coordinator and a monitor see of it.
// SPDX-License-Identifier: Apache-2.0
#include "node/witness/server.h"

#include <gtest/gtest.h>

#include "ledger/cosignature.h"
#include "node/web_client.h"
#include "node/witness_key.h"
#include "tests/support/process.h"
#include "tests/unit/ledger/toy_log.h"

namespace coshard::node {
namespace {

class WitnessServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(make_witness_key(dir / "w.key", "witness.example/w1", std::nullopt));
    auto read = read_witness_key(dir / "w.key", std::nullopt);
    ASSERT_TRUE(read.has_value()) << read.error().message;
    key.emplace(std::move(*read));
    evidence.emplace(dir / "evidence");
    book.emplace(memory, *evidence,
                 ledger::WitnessSetup{key->name, &key->key, {{log.origin, {log.note_key()}}}});
    auto started = WitnessServer::start(*book, clock, "127.0.0.1:0");
    ASSERT_TRUE(started.has_value()) << started.error().message;
    server = std::move(*started);
  }
  Result<WebAnswer> post(const std::string& body) {
    return web_post({"http://" + server->address(), "/add-checkpoint"}, body);
  }
  Result<WebAnswer> get(const std::string& path) {
    return web_get({"http://" + server->address(), path});
  }
  test::TempDir dir;
  ledger::ToyLog log{600};
  SystemClock clock;
  std::optional<WitnessKey> key;
  ledger::MemoryStore memory;
  std::optional<ledger::DiskFolder> evidence;
  std::optional<ledger::WitnessBook> book;
  std::unique_ptr<WitnessServer> server;
};

TEST_F(WitnessServerTest, CosignsAndShowsWhatItCosigned) {
  EXPECT_EQ(get("/checkpoint/" + log.origin)->status, 404);
  const auto answer = post(log.request(0, 300).format());
  ASSERT_TRUE(answer.has_value()) << answer.error().message;
  EXPECT_EQ(answer->status, 200);
  EXPECT_TRUE(ledger::take_cosignature(log.note(300), answer->body, key->note_key()));
  const auto shown = get("/checkpoint/" + log.origin);
  EXPECT_EQ(shown->status, 200);
  EXPECT_EQ(shown->body, log.note(300) + answer->body);
  EXPECT_NE(get("/")->body.find(key->note_key().vkey()), std::string::npos);
  EXPECT_EQ(get("/checkpoint/../w.key")->status, 404);
}

TEST_F(WitnessServerTest, ConflictCarriesTheSizeAndMalformedIsRefused) {
  ASSERT_EQ(post(log.request(0, 300).format())->status, 200);
  const auto conflict = post(log.request(200, 600).format());
  EXPECT_EQ(conflict->status, 409);
  EXPECT_EQ(conflict->body, "300\n");
  EXPECT_EQ(post("nonsense")->status, 400);
  const auto huge = post(std::string(limits::kNoteBytesMax + 1, 'x'));
  EXPECT_TRUE(!huge || huge->status == 413);
  EXPECT_EQ(post(log.request(300, 600).format())->status, 200);
}

TEST_F(WitnessServerTest, KeyOfAParticipantIsNoWitnesssKey) {
  ASSERT_TRUE(crypto::save_identity(dir / "node.key", crypto::Identity::generate(), std::nullopt));
  const auto read = read_witness_key(dir / "node.key", std::nullopt);
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().code, ErrorCode::kInvalidArgument);
  EXPECT_FALSE(make_witness_key(dir / "x.key", "two words", std::nullopt));
}

}  // namespace
}  // namespace coshard::node
