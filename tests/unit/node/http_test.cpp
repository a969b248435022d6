// The coordinator's HTTP: snapshots, the log's files and nothing else, commands only with the
// token.
// SPDX-License-Identifier: Apache-2.0
#include "node/coordinator/http.h"

#include <gtest/gtest.h>
#include <httplib.h>

#include <atomic>

#include "tests/support/process.h"

namespace coshard::node {
namespace {

class HttpTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(dir.path() / "ledger/mite/tile/0");
    test::write_text(dir.path() / "ledger/mite/checkpoint", "note");
    test::write_text(dir.path() / "ledger/mite/tile/0/000", "tile");
    test::write_text(dir / "secret", "secret");
    server =
        std::move(*HttpServer::start({.listen = "127.0.0.1:0",
                                      .ledger_root = dir / "ledger",
                                      .control_token = "token",
                                      .control =
                                          [this](ControlCommand command) {
                                            last = static_cast<int>(command);
                                            return true;
                                          },
                                      .reader = [](const std::string& body) -> Result<void> {
                                        if (body == "friend") return {};
                                        return fail(ErrorCode::kPermissionDenied, "protected");
                                      },
                                      .submit = [](const std::string& body) -> Result<std::string> {
                                        if (body.size() > 5000) return std::string("{}");
                                        return fail(ErrorCode::kResourceExhausted, "later");
                                      }}));
    client = std::make_unique<httplib::Client>("http://" + server->address());
  }
  int status_of(const std::string& path) {
    const auto reply = client->Get(path);
    return reply ? reply->status : -1;
  }
  test::TempDir dir;
  std::atomic<int> last{-1};
  std::unique_ptr<HttpServer> server;
  std::unique_ptr<httplib::Client> client;
};

TEST_F(HttpTest, ServesWhatWasPublished) {
  server->publish("{\"step\":3}", "coshard_step 3\n");
  EXPECT_EQ(client->Get("/status")->body, "{\"step\":3}");
  EXPECT_EQ(client->Get("/metrics")->body, "coshard_step 3\n");
}

TEST_F(HttpTest, ServesTheLogAndNothingElse) {
  EXPECT_EQ(client->Get("/ledger/mite/checkpoint")->body, "note");
  EXPECT_EQ(client->Get("/ledger/mite/checkpoint")->get_header_value("Cache-Control"), "no-cache");
  EXPECT_NE(
      client->Get("/ledger/mite/tile/0/000")->get_header_value("Cache-Control").find("immutable"),
      std::string::npos);
  for (const char* path :
       {"/ledger/../secret", "/ledger/mite/../../secret", "/ledger/mite", "/ledger/%2e%2e/secret",
        "/ledger//etc/passwd", "/ledger/mite/.hidden", "/secret"})
    EXPECT_EQ(status_of(path), 404) << path;
}

// The library would copy the file once for each range.
TEST_F(HttpTest, OneRangeOfAFileAtATime) {
  const auto part = client->Get("/ledger/mite/tile/0/000", {{"Range", "bytes=1-2"}});
  EXPECT_EQ(part->status, 206);
  EXPECT_EQ(part->body, "il");
  std::string many = "bytes=0-0";
  for (int i = 0; i < 1000; ++i) many += ",0-3";
  for (const std::string& range : {many, std::string("bytes=0-0,2-2")}) {
    const auto refused = client->Get("/ledger/mite/tile/0/000", {{"Range", range}});
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->status, 416);
    EXPECT_TRUE(refused->body.empty());
  }
}

TEST_F(HttpTest, CommandsNeedTheToken) {
  EXPECT_EQ(client->Post("/pause")->status, 401);
  EXPECT_EQ(client->Post("/pause", {{"Authorization", "Bearer tokem"}}, "", "")->status, 401);
  EXPECT_EQ(last, -1);
  EXPECT_EQ(client->Post("/finish", {{"Authorization", "Bearer token"}}, "", "")->status, 202);
  EXPECT_EQ(last, static_cast<int>(ControlCommand::kFinish));
}

TEST_F(HttpTest, ReadersNeedTheTokenToo) {
  const httplib::Headers token{{"Authorization", "Bearer token"}};
  EXPECT_EQ(client->Post("/readers", "friend", "text/plain")->status, 401);
  EXPECT_EQ(client->Post("/readers", token, "friend", "text/plain")->status, 202);
  const auto refused = client->Post("/readers", token, "stranger", "text/plain");
  EXPECT_EQ(refused->status, 403);
  EXPECT_EQ(refused->body, "protected");
}

/// No token: what is submitted is signed. Other requests stay short.
TEST_F(HttpTest, SubmissionsAreAnsweredWithJson) {
  const char* binary = "application/octet-stream";
  const auto taken = client->Post("/ledger/submit", std::string(10'000, 'x'), binary);
  EXPECT_EQ(taken->status, 200);
  EXPECT_EQ(taken->body, "{}");
  const auto refused = client->Post("/ledger/submit", "x", binary);
  EXPECT_EQ(refused->status, 429);
  EXPECT_EQ(refused->body, "{\"error\":\"later\",\"code\":\"resource_exhausted\"}\n");
  EXPECT_EQ(client->Post("/ledger/submit", std::string(300'000, 'x'), binary)->status, 413);
  EXPECT_EQ(client->Post("/readers", std::string(10'000, 'x'), "text/plain")->status, 413);
}

TEST_F(HttpTest, ATakenPortIsNamed) {
  const auto second = HttpServer::start({.listen = server->address(),
                                         .ledger_root = dir / "ledger",
                                         .control_token = "token",
                                         .control = {},
                                         .reader = {}});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(second.error().message.find(server->address()), std::string::npos);
}

}  // namespace
}  // namespace coshard::node
