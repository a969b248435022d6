// Errors as values: what every fallible function of coshard returns. Ten codes, each naming a
// reaction. Any thread. A bug of our own is not an Error: it aborts (check.h).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace coshard {

/// The closed list of codes. The code tells the caller what to do; the message tells a person.
enum class ErrorCode {
  kUnavailable,         ///< retry elsewhere
  kDeadlineExceeded,    ///< retry or replace the peer
  kResourceExhausted,   ///< shed load
  kInvalidArgument,     ///< fix the call or the input
  kFailedPrecondition,  ///< wrong phase: re-read the state
  kNotFound,            ///< the named thing does not exist
  kAborted,             ///< this step was cancelled: start the next
  kCorruption,          ///< stop using this file or this peer
  kPermissionDenied,    ///< drop and count
  kInternal,            ///< report: a library failed in a way that we do not expect
};

/// Short stable name, as used in logs and JSON, for example "invalid_argument".
constexpr std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::kUnavailable:
      return "unavailable";
    case ErrorCode::kDeadlineExceeded:
      return "deadline_exceeded";
    case ErrorCode::kResourceExhausted:
      return "resource_exhausted";
    case ErrorCode::kInvalidArgument:
      return "invalid_argument";
    case ErrorCode::kFailedPrecondition:
      return "failed_precondition";
    case ErrorCode::kNotFound:
      return "not_found";
    case ErrorCode::kAborted:
      return "aborted";
    case ErrorCode::kCorruption:
      return "corruption";
    case ErrorCode::kPermissionDenied:
      return "permission_denied";
    case ErrorCode::kInternal:
      return "internal";
  }
  return "unknown";
}

/// What went wrong. `message` says what was expected, what was found and, for an operator, what to
/// do.
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;

  /// The same error, prefixed with where it happened: "reading round.toml: line 3: …".
  [[nodiscard]] Error within(std::string_view where) const {
    return Error{code, std::string(where) + ": " + message};
  }
};

template <class T>
using Result = tl::expected<T, Error>;

/// `return fail(ErrorCode::kNotFound, "…");` in a function that returns any Result.
[[nodiscard]] inline tl::unexpected<Error> fail(ErrorCode code, std::string message) {
  return tl::unexpected<Error>(Error{code, std::move(message)});
}

}  // namespace coshard

#define COSHARD_CONCAT_INNER(a, b) a##b
#define COSHARD_CONCAT(a, b) COSHARD_CONCAT_INNER(a, b)

/// Propagates the error of an expression of type Result<void> (or discards the value of another
/// Result).
#define COSHARD_TRY(expression)                                                         \
  do {                                                                                  \
    auto coshard_try_result = (expression);                                             \
    if (!coshard_try_result)                                                            \
      return ::tl::unexpected<::coshard::Error>(std::move(coshard_try_result.error())); \
  } while (false)

/// Declares `declaration` from the value of a Result, or propagates its error:
/// `COSHARD_ASSIGN(const auto plan, make_plan(spec));`
#define COSHARD_ASSIGN(declaration, expression) \
  COSHARD_ASSIGN_IMPL(COSHARD_CONCAT(coshard_result_, __LINE__), declaration, expression)
#define COSHARD_ASSIGN_IMPL(result, declaration, expression)                         \
  auto result = (expression);                                                        \
  if (!result) return ::tl::unexpected<::coshard::Error>(std::move(result.error())); \
  declaration = std::move(*result)
