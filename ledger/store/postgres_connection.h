// One connection to a PostgreSQL server: statements with parameters, errors as values, and never a
// wait without an end. The only file beside postgres_connection.cpp that knows of libpq. One
// thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "protocol/base/bytes.h"
#include "protocol/base/error.h"

struct pg_conn;
struct pg_result;

namespace coshard::ledger {

/// A parameter as the server takes it in binary: the type's number and the bytes.
struct PgValue {
  unsigned int type = 0;
  Bytes bytes;
};
PgValue pg_text(std::string_view text);
PgValue pg_bytes(ByteView bytes);
PgValue pg_int(std::uint64_t number);
/// An array of byte strings, [first, first + count) of `all`.
PgValue pg_array(const std::vector<Bytes>& all, std::size_t first, std::size_t count);

/// What a statement answered. Columns are binary.
class PgRows {
 public:
  explicit PgRows(pg_result* result) : result_(result) {}
  std::size_t count() const;
  std::string text(std::size_t row, int column) const;
  Bytes bytes(std::size_t row, int column) const;
  /// Of a bigint; 0 when it is null.
  std::uint64_t number(std::size_t row, int column) const;
  pg_result* raw() const { return result_.get(); }

 private:
  struct Clear {
    void operator()(pg_result* result) const;
  };
  std::unique_ptr<pg_result, Clear> result_;
};

class PgConnection {
 public:
  /// `url`: postgresql://… as libpq reads it. kUnavailable when nobody answers; the message never
  /// has the URL's password.
  static Result<PgConnection> open(const std::string& url);

  /// One statement. kUnavailable when the connection is lost, and for everything after that;
  /// kResourceExhausted when the server's disk is full, kCorruption when it says that data is
  /// damaged, kDeadlineExceeded when it took too long, kPermissionDenied.
  Result<PgRows> run(const char* sql, const std::vector<PgValue>& values = {});
  /// Whether everything so far was answered.
  bool is_alive() const { return connection_ != nullptr; }
  /// The server's host and database, for messages.
  const std::string& name() const { return name_; }

 private:
  struct Finish {
    void operator()(pg_conn* connection) const;
  };
  explicit PgConnection(pg_conn* connection);
  Result<void> wait_for_answer();
  tl::unexpected<Error> lost(const std::string& why);
  tl::unexpected<Error> failed(const pg_result* result);

  std::unique_ptr<pg_conn, Finish> connection_;
  std::string name_;
};

}  // namespace coshard::ledger
