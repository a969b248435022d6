// A store that forgets when it is destroyed: tests and simulation. One thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>

#include "ledger/store/store.h"

namespace coshard::ledger {

class MemoryStore final : public Store {
 public:
  Result<std::uint64_t> size() const override { return entries_.size(); }
  Result<void> append(std::uint64_t first, const std::vector<Bytes>& entries,
                      const std::vector<SideFile>& files) override;
  Result<std::vector<Bytes>> read(std::uint64_t first, std::uint64_t count) const override;
  Result<std::vector<SideFile>> side_files() const override;
  Result<std::optional<std::string>> signed_checkpoint() const override { return signed_; }
  Result<void> swap_signed_checkpoint(const std::optional<std::string>& expected,
                                      const std::string& next) override;
  Result<std::string> role() const override { return role_; }
  Result<void> set_role(const std::string& role) override {
    role_ = role;
    return {};
  }

 private:
  std::vector<Bytes> entries_;
  std::map<std::string, Bytes> files_;
  std::optional<std::string> signed_;
  std::string role_ = kHome;
};

}  // namespace coshard::ledger
