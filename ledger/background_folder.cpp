// SPDX-License-Identifier: Apache-2.0
#include "ledger/background_folder.h"

#include <pthread.h>

#include <utility>

namespace coshard::ledger {

void BackgroundFolder::start(std::function<void()> written) {
  written_ = std::move(written);
  ending_ = false;
  thread_ = std::thread([this] { run(); });
}

void BackgroundFolder::run() {
  pthread_setname_np(pthread_self(), "cs-publish");
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return ending_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    const bool failed = !outcome_;
    Job& job = jobs_.front();  // stays where it is while others are added behind it
    lock.unlock();
    Result<void> done = failed ? Result<void>{} : job();
    lock.lock();
    if (!done) outcome_ = std::move(done);
    jobs_.pop_front();
    if (!jobs_.empty()) continue;
    changed_.notify_all();
    lock.unlock();
    written_();
    lock.lock();
  }
}

Result<void> BackgroundFolder::later(Job job) {
  if (!thread_.joinable()) {
    COSHARD_TRY(outcome_);
    return job();
  }
  {
    const std::lock_guard lock(mutex_);
    COSHARD_TRY(outcome_);
    jobs_.push_back(std::move(job));
  }
  changed_.notify_all();
  return {};
}

Result<bool> BackgroundFolder::is_idle() const {
  const std::lock_guard lock(mutex_);
  COSHARD_TRY(outcome_);
  return jobs_.empty();
}

Result<void> BackgroundFolder::wait_until_idle() const {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return jobs_.empty(); });
  return outcome_;
}

Result<void> BackgroundFolder::finish() {
  if (!thread_.joinable()) return outcome_;
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
  return outcome_;
}

Result<void> BackgroundFolder::write(std::string_view path, ByteView bytes) {
  return later([this, path = std::string(path), bytes = to_bytes(bytes)] {
    return below_->write(path, bytes);
  });
}

Result<void> BackgroundFolder::write_all(std::vector<PublicFile> files) {
  if (files.empty()) return {};
  return later(
      [this, files = std::move(files)]() mutable { return below_->write_all(std::move(files)); });
}

Result<void> BackgroundFolder::remove(std::string_view path) {
  return later([this, path = std::string(path)] { return below_->remove(path); });
}

Result<Bytes> BackgroundFolder::read(std::string_view path, std::size_t max) const {
  COSHARD_TRY(wait_until_idle());
  return below_->read(path, max);
}

Result<std::vector<std::string>> BackgroundFolder::list(std::string_view path) const {
  COSHARD_TRY(wait_until_idle());
  return below_->list(path);
}

}  // namespace coshard::ledger
