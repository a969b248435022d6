// Writes published files behind the back of the log's thread: entries are durable in the store
// before, and what a crash leaves unwritten the next Sequencer::open() writes again, so nobody has
// to wait for a disk that takes milliseconds per file name.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "ledger/files.h"

namespace coshard::ledger {

/// Does at once what it is told until start(), and from then on in the order in which it was told,
/// on a thread of its own: a checkpoint is never seen before its tiles. All functions: the log's
/// thread, but where said otherwise. An error of the folder below comes back from the next call,
/// and from every one after it: nothing more is written then.
class BackgroundFolder final : public LogFolder {
 public:
  /// `below` outlives the object.
  explicit BackgroundFolder(LogFolder& below) : below_(&below) {}
  /// Finishes what is under way. Whoever wants to know how it went calls finish() before.
  ~BackgroundFolder() override { (void)finish(); }

  /// `written` is called, on the writing thread, whenever nothing is left to write.
  void start(std::function<void()> written);
  /// Whether everything is written; an error when something could not be.
  Result<bool> is_idle() const;
  /// Waits until everything is written; from here on writes are done at once again.
  Result<void> finish();

  Result<void> write(std::string_view path, ByteView bytes) override;
  Result<void> write_all(std::vector<PublicFile> files) override;
  Result<void> remove(std::string_view path) override;
  /// Wait until everything is written.
  Result<Bytes> read(std::string_view path, std::size_t max) const override;
  Result<std::vector<std::string>> list(std::string_view path) const override;
  std::string describe(std::string_view path) const override { return below_->describe(path); }

 private:
  using Job = std::function<Result<void>()>;
  Result<void> later(Job job);
  Result<void> wait_until_idle() const;
  void run();

  LogFolder* below_;
  std::function<void()> written_;
  std::thread thread_;
  mutable std::mutex mutex_;  // guards what follows
  mutable std::condition_variable changed_;
  std::deque<Job> jobs_;  // the first one is under way
  bool ending_ = false;
  Result<void> outcome_;
};

}  // namespace coshard::ledger
