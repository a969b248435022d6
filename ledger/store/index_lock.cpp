// SPDX-License-Identifier: Apache-2.0
#include "ledger/store/index_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

namespace coshard::ledger {

Result<IndexLock> IndexLock::lock(const std::filesystem::path& index) {
  if (index.empty()) return IndexLock(-1);
  std::error_code ignored;  // open() says what is wrong
  std::filesystem::create_directories(index.parent_path(), ignored);
  const std::string path = index.string() + ".lock";
  IndexLock out(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  int result = -1;
  if (out.descriptor_ >= 0) {
    do {
      result = flock(out.descriptor_, LOCK_EX);
    } while (result != 0 && errno == EINTR);
  }
  if (result == 0) return out;
  return fail(ErrorCode::kUnavailable, path + ": " + std::generic_category().message(errno) +
                                           "; name another place with --index, or use --no-index");
}

IndexLock::~IndexLock() {
  if (descriptor_ >= 0) close(descriptor_);
}

}  // namespace coshard::ledger
