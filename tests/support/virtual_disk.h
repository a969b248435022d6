// A disk that loses its power: what was written since a file's last sync survives by the sector of
// 512 bytes, in any order, or not; names survive a folder's sync. Below SQLite as a VFS and below
// DiskFolder as a FileSystem. It can also be full, and fail to sync. One thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ledger/files.h"
#include "protocol/base/rng.h"

struct sqlite3_vfs;

namespace coshard::test {

class VirtualDisk final : public ledger::FileSystem {
 public:
  struct Inode {
    struct Piece {
      std::size_t offset = 0;
      Bytes bytes;
      bool cuts = false;  ///< the file ends at `offset`
    };
    Bytes visible, durable;
    std::vector<Piece> pending;
  };
  using File = std::shared_ptr<Inode>;

  VirtualDisk();
  ~VirtualDisk() override;
  VirtualDisk(const VirtualDisk&) = delete;
  VirtualDisk& operator=(const VirtualDisk&) = delete;
  /// The name by which SQLite knows it.
  const char* vfs() const { return name_.c_str(); }

  // ---- what goes wrong. Operations are those that change something, syncs included.
  std::optional<std::uint64_t> power_until;  ///< operations; then nothing works until restart()
  std::optional<std::uint64_t> full_from;    ///< every write from this operation on: ENOSPC
  std::optional<std::uint64_t> sync_fails;   ///< the next sync from this operation on: EIO, once
  bool ignores_syncs = false;                ///< a drive that lies
  std::uint64_t operations() const { return operations_; }
  /// The power is back. Keeps what was synced, and of the rest what `rng` says.
  void restart(Rng& rng);

  // ---- as SQLite and FileSystem use it: 0, ENOSPC or EIO.
  File find(const std::string& path) const;
  int create(const std::string& path, File& file);
  int write(Inode& file, std::size_t offset, ByteView bytes);
  int truncate(Inode& file, std::size_t size);
  int sync(Inode& file);
  int sync_names(const std::string& folder);
  int erase(const std::string& path);
  bool is_off() const { return off_; }

  Result<void> write_and_sync(const std::filesystem::path& path, ByteView bytes) override;
  Result<void> sync_folder(const std::filesystem::path& path) override;
  Result<void> rename(const std::filesystem::path& from, const std::filesystem::path& to) override;
  Result<void> unlink(const std::filesystem::path& path) override;
  bool is_folder(const std::filesystem::path& path) const override;
  Result<void> make_folder(const std::filesystem::path& path) override;
  Result<Bytes> read(const std::filesystem::path& path, std::size_t max) const override;
  Result<std::vector<std::string>> list(const std::filesystem::path& root,
                                        std::string_view path) const override;

 private:
  /// One entry of a folder that changed: `path` is gone, or is `file` now.
  struct NameChange {
    std::string removed, path;
    File file;
    bool is_folder = false;
  };
  struct Names {
    std::map<std::string, File> files;
    std::set<std::string> folders{"/box"};
    void apply(const NameChange& change);
  };
  int pass(bool grows);
  void change(NameChange change);

  std::string name_;
  std::unique_ptr<sqlite3_vfs> vfs_;
  Names visible_, durable_;
  std::vector<NameChange> pending_;
  std::uint64_t operations_ = 0;
  bool off_ = false;
};

}  // namespace coshard::test
