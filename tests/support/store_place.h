// Where a store of each kind is kept between two openings: what tests that run on all of them ask.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "ledger/store/memory_store.h"
#include "ledger/store/postgres_store.h"
#include "ledger/store/sqlite_store.h"
#include "tests/support/postgres_server.h"

namespace coshard::ledger {

enum class StoreKind { kMemory, kSqlite, kPostgres };

inline std::string store_kind_name(const testing::TestParamInfo<StoreKind>& info) {
  return info.param == StoreKind::kMemory   ? "memory"
         : info.param == StoreKind::kSqlite ? "sqlite"
                                            : "postgres";
}

inline auto all_store_kinds() {
  return testing::Values(StoreKind::kMemory, StoreKind::kSqlite, StoreKind::kPostgres);
}

class StorePlace {
 public:
  explicit StorePlace(StoreKind kind) : kind_(kind) {
    if (kind == StoreKind::kSqlite) folder_.emplace();
    if (kind == StoreKind::kPostgres && test::PostgresServer::shared() != nullptr)
      url_ = test::PostgresServer::shared()->new_database();
  }
  /// False where this box has no server: the test skips itself.
  bool exists() const { return kind_ != StoreKind::kPostgres || !url_.empty(); }
  StoreKind kind() const { return kind_; }
  const std::string& url() const { return url_; }
  test::Path file() const { return *folder_ / "ledger.sqlite"; }

  /// What a new process would see. A memory store is a new one each time.
  Result<std::unique_ptr<Store>> open() const {
    if (kind_ == StoreKind::kSqlite) return open_sqlite_store(file());
    if (kind_ == StoreKind::kPostgres) return open_postgres_store(url_);
    return std::make_unique<MemoryStore>();
  }

 private:
  StoreKind kind_;
  std::optional<test::TempDir> folder_;
  std::string url_;
};

}  // namespace coshard::ledger
