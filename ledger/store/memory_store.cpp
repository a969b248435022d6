// SPDX-License-Identifier: Apache-2.0
#include "ledger/store/memory_store.h"

namespace coshard::ledger {

Result<void> MemoryStore::append(std::uint64_t first, const std::vector<Bytes>& entries,
                                 const std::vector<SideFile>& files) {
  if (first != entries_.size()) {
    return fail(ErrorCode::kFailedPrecondition, "the store has " + std::to_string(entries_.size()) +
                                                    " entries, not " + std::to_string(first));
  }
  entries_.insert(entries_.end(), entries.begin(), entries.end());
  for (const SideFile& file : files) files_[file.path] = file.bytes;
  return {};
}

Result<std::vector<Bytes>> MemoryStore::read(std::uint64_t first, std::uint64_t count) const {
  if (first > entries_.size() || count > entries_.size() - first) {
    return fail(ErrorCode::kCorruption, "an entry is missing from the store");
  }
  const auto begin = entries_.begin() + static_cast<std::ptrdiff_t>(first);
  return std::vector<Bytes>(begin, begin + static_cast<std::ptrdiff_t>(count));
}

Result<std::vector<SideFile>> MemoryStore::side_files() const {
  std::vector<SideFile> out;
  for (const auto& [path, bytes] : files_) out.push_back({path, bytes});
  return out;
}

Result<void> MemoryStore::swap_signed_checkpoint(const std::optional<std::string>& expected,
                                                 const std::string& next) {
  if (signed_ != expected) {
    return fail(ErrorCode::kFailedPrecondition, "another checkpoint was signed meanwhile");
  }
  signed_ = next;
  return {};
}

}  // namespace coshard::ledger
