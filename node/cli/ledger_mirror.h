// A ledger that is published over HTTP, copied into a folder so that it can be verified like any
// other. Nothing that is fetched is believed here: the reader of the folder checks all of it. Home
// thread: main.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "ledger/files.h"
#include "protocol/base/error.h"

namespace coshard::cli {

/// The log's files as they are served, read one by one; writing is kPermissionDenied. Any thread.
/// `url` and `model` as for LedgerMirror.
Result<std::shared_ptr<const ledger::LogFolder>> open_remote_ledger(const std::string& url,
                                                                    const std::string& model);

/// A copy, removed with this object.
class LedgerMirror {
 public:
  /// `url` is that of a coordinator (http://HOST:PORT) or of one log's files. `model` may be empty
  /// where the coordinator serves one. kUnavailable or kNotFound naming the file that did not come,
  /// kCorruption for one that is no part of a log.
  static Result<LedgerMirror> fetch(const std::string& url, const std::string& model);
  ~LedgerMirror();
  LedgerMirror(LedgerMirror&& other) noexcept;
  LedgerMirror& operator=(LedgerMirror&&) = delete;

  /// The folder of the log.
  const std::filesystem::path& folder() const { return folder_; }

 private:
  explicit LedgerMirror(std::filesystem::path folder) : folder_(std::move(folder)) {}
  std::filesystem::path folder_;
};

}  // namespace coshard::cli
