// SPDX-License-Identifier: Apache-2.0
#include "ledger/store/postgres_connection.h"

#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

namespace coshard::ledger {
namespace {

// Type numbers of the server's catalogue (pg_type.dat), fixed for ever.
constexpr unsigned int kBytea = 17, kInt8 = 20, kText = 25, kByteaArray = 1001;
/// How long the server may say nothing at all; its own statement timeout is shorter
/// (postgres_store.cpp), so that who waits as long has a dead server or a dead network.
constexpr std::chrono::seconds kSilenceMax{45};
constexpr int kBinary = 1;

void put_int(Bytes& out, std::int64_t number) {
  put_be<std::uint32_t>(out, static_cast<std::uint32_t>(number));
}

/// libpq's messages end in a line feed and may have several lines.
std::string one_line(const char* message) {
  std::string out = message == nullptr ? "" : message;
  while (!out.empty() && out.back() == '\n') out.pop_back();
  std::replace(out.begin(), out.end(), '\n', ' ');
  return out;
}

/// By SQLSTATE: the first two characters are a class (PostgreSQL manual, appendix A).
ErrorCode code_of(std::string_view state) {
  const std::string_view group = state.substr(0, 2);
  if (group == "53") return ErrorCode::kResourceExhausted;
  if (group == "08" || state.starts_with("57P")) return ErrorCode::kUnavailable;
  if (state == "57014" || state == "55P03" || state.starts_with("25P03"))
    return ErrorCode::kDeadlineExceeded;
  if (group == "28" || state == "42501" || state == "25006") return ErrorCode::kPermissionDenied;
  if (group == "XX") return ErrorCode::kCorruption;
  if (group == "58") return ErrorCode::kUnavailable;  // the server's own disk: EIO
  return ErrorCode::kInternal;
}

}  // namespace

PgValue pg_text(std::string_view text) { return {kText, to_bytes(as_bytes(text))}; }
PgValue pg_bytes(ByteView bytes) { return {kBytea, to_bytes(bytes)}; }
PgValue pg_int(std::uint64_t number) {
  PgValue out{kInt8, {}};
  put_be<std::uint64_t>(out.bytes, number);
  return out;
}

/// array_recv() of the server: dimensions, "has nulls", element type, length, lower bound; then
/// each element with its length.
PgValue pg_array(const std::vector<Bytes>& all, std::size_t first, std::size_t count) {
  PgValue out{kByteaArray, {}};
  for (const std::int64_t number : {std::int64_t{1}, std::int64_t{0}, std::int64_t{kBytea},
                                    static_cast<std::int64_t>(count), std::int64_t{1}}) {
    put_int(out.bytes, number);
  }
  for (std::size_t i = first; i < first + count; ++i) {
    put_int(out.bytes, static_cast<std::int64_t>(all[i].size()));
    out.bytes.insert(out.bytes.end(), all[i].begin(), all[i].end());
  }
  return out;
}

void PgRows::Clear::operator()(pg_result* result) const { PQclear(result); }
void PgConnection::Finish::operator()(pg_conn* connection) const { PQfinish(connection); }

std::size_t PgRows::count() const { return static_cast<std::size_t>(PQntuples(result_.get())); }

Bytes PgRows::bytes(std::size_t row, int column) const {
  const int at = static_cast<int>(row);
  const auto* from = reinterpret_cast<const std::uint8_t*>(PQgetvalue(result_.get(), at, column));
  const auto length = static_cast<std::size_t>(PQgetlength(result_.get(), at, column));
  return from == nullptr ? Bytes{} : Bytes(from, from + length);
}

std::string PgRows::text(std::size_t row, int column) const {
  return std::string(as_text(bytes(row, column)));
}

std::uint64_t PgRows::number(std::size_t row, int column) const {
  const Bytes value = bytes(row, column);
  return value.size() == 8 ? get_be<std::uint64_t>(value) : 0;
}

PgConnection::PgConnection(pg_conn* connection) : connection_(connection) {
  const char* host = PQhost(connection);
  const char* database = PQdb(connection);
  name_ = "ledger database " + std::string(database == nullptr ? "?" : database) + " on " +
          (host == nullptr || *host == '\0' ? "this box" : host);
}

Result<PgConnection> PgConnection::open(const std::string& url) {
  // First what we want where the URL says nothing, then the URL, which may say otherwise.
  const char* keys[] = {"connect_timeout",
                        "keepalives_idle",
                        "keepalives_interval",
                        "keepalives_count",
                        "tcp_user_timeout",
                        "application_name",
                        "dbname",
                        nullptr};
  const char* values[] = {"10", "10", "5", "3", "30000", "coshard", url.c_str(), nullptr};
  PgConnection out(PQconnectdbParams(keys, values, 1));
  if (out.connection_ == nullptr) return fail(ErrorCode::kResourceExhausted, "out of memory");
  if (PQstatus(out.connection_.get()) != CONNECTION_OK) {
    return fail(ErrorCode::kUnavailable, out.name_ + ": a PostgreSQL server was expected; found: " +
                                             one_line(PQerrorMessage(out.connection_.get())));
  }
  PQsetNoticeProcessor(
      out.connection_.get(), [](void*, const char*) {}, nullptr);
  return out;
}

tl::unexpected<Error> PgConnection::lost(const std::string& why) {
  connection_.reset();  // nothing is said over it any more, whatever the server may still do
  return fail(ErrorCode::kUnavailable, name_ + ": the connection is lost (" + why +
                                           "); start the coordinator again when the server runs");
}

tl::unexpected<Error> PgConnection::failed(const pg_result* result) {
  const std::string message = one_line(PQresultErrorMessage(result));
  if (PQstatus(connection_.get()) == CONNECTION_BAD) return lost(message);
  const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  return fail(code_of(state == nullptr ? "" : state), name_ + ": " + message);
}

/// Until the whole answer is here. A server that is silent for kSilenceMax counts as dead.
Result<void> PgConnection::wait_for_answer() {
  pg_conn* connection = connection_.get();
  for (;;) {
    const int unsent = PQflush(connection);
    if (unsent < 0) return lost(one_line(PQerrorMessage(connection)));
    if (unsent == 0 && PQisBusy(connection) == 0) return {};
    pollfd wait{PQsocket(connection), POLLIN, 0};
    if (unsent > 0) wait.events |= POLLOUT;
    const int ready =
        ::poll(&wait, 1, static_cast<int>(std::chrono::milliseconds(kSilenceMax).count()));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return lost("the server did not answer in 45 s");
    if ((wait.revents & ~POLLOUT) != 0 && PQconsumeInput(connection) == 0)
      return lost(one_line(PQerrorMessage(connection)));
  }
}

Result<PgRows> PgConnection::run(const char* sql, const std::vector<PgValue>& values) {
  if (connection_ == nullptr) {
    return fail(ErrorCode::kUnavailable,
                name_ + ": the connection was lost before; start the coordinator again");
  }
  std::vector<Oid> types;
  std::vector<const char*> from;
  std::vector<int> lengths;
  for (const PgValue& value : values) {
    types.push_back(value.type);
    // A null pointer would be NULL; an empty value is not.
    from.push_back(value.bytes.empty() ? "" : reinterpret_cast<const char*>(value.bytes.data()));
    lengths.push_back(static_cast<int>(value.bytes.size()));
  }
  const std::vector<int> formats(values.size(), kBinary);
  const int sent =
      PQsendQueryParams(connection_.get(), sql, static_cast<int>(values.size()), types.data(),
                        from.data(), lengths.data(), formats.data(), kBinary);
  if (sent == 0) return lost(one_line(PQerrorMessage(connection_.get())));
  COSHARD_TRY(wait_for_answer());
  PgRows answer(PQgetResult(connection_.get()));
  pg_result* result = answer.raw();
  const ExecStatusType status = PQresultStatus(result);
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
    auto error = failed(result);
    while (connection_ != nullptr) {  // the server may be ready for the next statement
      COSHARD_TRY(wait_for_answer());
      if (PgRows(PQgetResult(connection_.get())).raw() == nullptr) break;
    }
    return error;
  }
  COSHARD_TRY(wait_for_answer());
  PgRows end(PQgetResult(connection_.get()));
  if (end.raw() != nullptr) return lost("the answer has an end too many");
  return answer;
}

}  // namespace coshard::ledger
