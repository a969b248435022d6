// What only a store behind a connection can get wrong: a server that is gone, a writer that was
// given up for dead and lives, settings that lose what was acknowledged.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "ledger/store/postgres_connection.h"
#include "tests/support/store_place.h"
#include "tests/unit/ledger/small_round.h"

namespace coshard::ledger {
namespace {

using test::PostgresServer;

class PostgresStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!place_.exists()) GTEST_SKIP() << PostgresServer::why_not();
  }
  /// One statement over a connection that is nobody's store.
  void say(const char* sql) {
    auto connection = PgConnection::open(place_.url());
    ASSERT_OK(connection);
    ASSERT_OK(connection->run(sql));
  }

  StorePlace place_{StoreKind::kPostgres};
};

// The lock goes with a connection; a writer whose connection the server believes dead may live.
TEST_F(PostgresStoreTest, WriterOfAnOldGenerationMayNotWrite) {
  auto old = place_.open();
  ASSERT_OK(old);
  ASSERT_OK((*old)->append(0, {Bytes{1}}, {}));
  say("UPDATE coshard.writer SET generation = generation + 1");
  EXPECT_ERROR((*old)->append(1, {Bytes{2}}, {}), ErrorCode::kFailedPrecondition);
  EXPECT_ERROR((*old)->swap_signed_checkpoint(std::nullopt, "a"), ErrorCode::kFailedPrecondition);
  EXPECT_ERROR((*old)->set_role("x"), ErrorCode::kFailedPrecondition);
  EXPECT_EQ(*(*old)->size(), 1u);
}

TEST_F(PostgresStoreTest, LostConnectionIsAnErrorForGood) {
  auto store = place_.open();
  ASSERT_OK(store);
  ASSERT_OK((*store)->append(0, {Bytes{1}}, {}));
  say("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
      "AND pid <> pg_backend_pid()");
  EXPECT_ERROR((*store)->append(1, {Bytes{2}}, {}), ErrorCode::kUnavailable);
  EXPECT_ERROR((*store)->append(1, {Bytes{2}}, {}), ErrorCode::kUnavailable);
  EXPECT_ERROR((*store)->size(), ErrorCode::kUnavailable);
  auto next = place_.open();
  ASSERT_OK(next);
  EXPECT_EQ(*(*next)->size(), 1u);
}

TEST_F(PostgresStoreTest, MissingEntryIsFound) {
  {
    auto store = place_.open();
    ASSERT_OK(store);
    ASSERT_OK((*store)->append(0, {Bytes{1}, Bytes{2}, Bytes{3}}, {}));
  }
  say("DELETE FROM coshard.entries WHERE idx = 1");
  EXPECT_ERROR(place_.open(), ErrorCode::kCorruption);
}

TEST_F(PostgresStoreTest, ServerThatForgetsIsRefused) {
  for (const char* unsafe : {"fsync", "full_page_writes"}) {
    const auto server = PostgresServer::start("-c " + std::string(unsafe) + "=off");
    ASSERT_NE(server, nullptr);
    const auto opened = open_postgres_store(server->new_database());
    EXPECT_ERROR(opened, ErrorCode::kFailedPrecondition);
    EXPECT_NE(opened.error().message.find(unsafe), std::string::npos) << opened.error().message;
  }
  say("DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' SET synchronous_commit = "
      "off'; END $$");
  EXPECT_ERROR(place_.open(), ErrorCode::kFailedPrecondition);
}

TEST_F(PostgresStoreTest, NobodyThereIsUnavailable) {
  EXPECT_ERROR(open_postgres_store("postgresql://nobody@/none?host=/nonexistent"),
               ErrorCode::kUnavailable);
}

// reference ledger.md 5.2: nothing else may open the file, not even another library's reader.
TEST(SqliteStoreTest, NoSecondConnectionOfAnyKind) {
  const StorePlace place(StoreKind::kSqlite);
  auto store = place.open();
  ASSERT_OK(store);
  ASSERT_OK((*store)->append(0, {Bytes{1}}, {}));
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open_v2(place.file().c_str(), &other, SQLITE_OPEN_READONLY, nullptr),
            SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(other, "SELECT count(*) FROM entries", nullptr, nullptr, nullptr),
            SQLITE_BUSY);
  EXPECT_EQ(sqlite3_exec(other, "PRAGMA wal_checkpoint", nullptr, nullptr, nullptr), SQLITE_BUSY);
  sqlite3_close(other);
  EXPECT_FALSE(std::filesystem::exists(place.file().string() + "-shm"));
}

// The tables take no value of another type, and a hole is found when the store is opened.
TEST(SqliteStoreTest, TablesAreStrictAndHolesAreFound) {
  const StorePlace place(StoreKind::kSqlite);
  {
    auto store = place.open();
    ASSERT_OK(store);
    ASSERT_OK((*store)->append(0, {Bytes{1}, Bytes{2}, Bytes{3}}, {}));
  }
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(place.file().c_str(), &other), SQLITE_OK);
  EXPECT_NE(
      sqlite3_exec(other, "INSERT INTO entries VALUES (3, 'text')", nullptr, nullptr, nullptr),
      SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(other, "DELETE FROM entries WHERE idx = 1", nullptr, nullptr, nullptr),
            SQLITE_OK);
  sqlite3_close(other);
  EXPECT_ERROR(place.open(), ErrorCode::kCorruption);
}

}  // namespace
}  // namespace coshard::ledger
