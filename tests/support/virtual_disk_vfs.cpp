// SPDX-License-Identifier: Apache-2.0
#include "tests/support/virtual_disk_vfs.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

namespace coshard::test {
namespace {

/// As SQLite allocates it: its own part first.
struct OpenFile {
  sqlite3_file base;
  VirtualDisk* disk;
  VirtualDisk::File* file;
  std::string* new_name;  ///< of a journal whose name is to be made durable with its first sync
};

OpenFile& open_file(sqlite3_file* file) { return *reinterpret_cast<OpenFile*>(file); }
VirtualDisk& disk_of(sqlite3_vfs* vfs) { return *static_cast<VirtualDisk*>(vfs->pAppData); }

int code(int reason, int error) {
  return reason == 0 ? SQLITE_OK : reason == ENOSPC ? SQLITE_FULL : error;
}

int close(sqlite3_file* file) {
  delete open_file(file).file;
  delete open_file(file).new_name;
  return SQLITE_OK;
}

int read(sqlite3_file* file, void* to, int amount, sqlite3_int64 offset) {
  const Bytes& bytes = (*open_file(file).file)->visible;
  const auto from = std::min(static_cast<std::size_t>(offset), bytes.size());
  const auto length = std::min(static_cast<std::size_t>(amount), bytes.size() - from);
  std::memset(to, 0, static_cast<std::size_t>(amount));
  if (length > 0) std::memcpy(to, bytes.data() + from, length);
  return length == static_cast<std::size_t>(amount) ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

int write(sqlite3_file* file, const void* from, int amount, sqlite3_int64 offset) {
  const ByteView bytes(static_cast<const std::uint8_t*>(from), static_cast<std::size_t>(amount));
  OpenFile& open = open_file(file);
  return code(open.disk->write(**open.file, static_cast<std::size_t>(offset), bytes),
              SQLITE_IOERR_WRITE);
}

int truncate(sqlite3_file* file, sqlite3_int64 size) {
  OpenFile& open = open_file(file);
  return code(open.disk->truncate(**open.file, static_cast<std::size_t>(size)),
              SQLITE_IOERR_TRUNCATE);
}

/// As SQLite's own for Unix: the folder of a journal that it made is synced with its first sync.
int sync(sqlite3_file* file, int) {
  OpenFile& open = open_file(file);
  if (const int reason = open.disk->sync(**open.file)) return code(reason, SQLITE_IOERR_FSYNC);
  if (open.new_name == nullptr) return SQLITE_OK;
  const int reason = open.disk->sync_names(open.new_name->substr(0, open.new_name->rfind('/')));
  delete std::exchange(open.new_name, nullptr);
  return code(reason, SQLITE_IOERR_FSYNC);
}

int file_size(sqlite3_file* file, sqlite3_int64* size) {
  *size = static_cast<sqlite3_int64>((*open_file(file).file)->visible.size());
  return SQLITE_OK;
}

int lock(sqlite3_file*, int) { return SQLITE_OK; }
int check_lock(sqlite3_file*, int* out) {
  *out = 0;
  return SQLITE_OK;
}
int control(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
int sector_size(sqlite3_file*) { return 512; }
int characteristics(sqlite3_file*) { return 0; }

constexpr sqlite3_io_methods kMethods{
    1,       close,      read,    write,       truncate,        sync,    file_size, lock,
    lock,    check_lock, control, sector_size, characteristics, nullptr, nullptr,   nullptr,
    nullptr, nullptr,    nullptr};

int open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  OpenFile& made = open_file(file);
  made.base.pMethods = nullptr;  // until it is open: close is not called
  VirtualDisk& disk = disk_of(vfs);
  VirtualDisk::File found =
      name == nullptr ? std::make_shared<VirtualDisk::Inode>() : disk.find(name);
  const bool fresh = found == nullptr;
  if (fresh) {
    if ((flags & SQLITE_OPEN_CREATE) == 0) return SQLITE_CANTOPEN;
    if (disk.create(name, found) != 0) return SQLITE_CANTOPEN;
  }
  made.disk = &disk;
  made.file = new VirtualDisk::File(std::move(found));
  const bool is_journal = (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0;
  made.new_name = fresh && is_journal ? new std::string(name) : nullptr;
  made.base.pMethods = &kMethods;
  if (out_flags != nullptr) *out_flags = flags;
  return SQLITE_OK;
}

int remove(sqlite3_vfs* vfs, const char* name, int sync_folder) {
  VirtualDisk& disk = disk_of(vfs);
  if (!disk.find(name)) return SQLITE_IOERR_DELETE_NOENT;
  int reason = disk.erase(name);
  const std::string path = name;
  if (reason == 0 && sync_folder != 0) reason = disk.sync_names(path.substr(0, path.rfind('/')));
  return code(reason, SQLITE_IOERR_DELETE);
}

int access(sqlite3_vfs* vfs, const char* name, int, int* out) {
  *out = disk_of(vfs).find(name) ? 1 : 0;
  return SQLITE_OK;
}

int full_name(sqlite3_vfs*, const char* name, int room, char* out) {
  sqlite3_snprintf(room, out, "%s", name);
  return SQLITE_OK;
}

}  // namespace

std::unique_ptr<sqlite3_vfs> register_virtual_vfs(VirtualDisk& disk) {
  auto vfs = std::make_unique<sqlite3_vfs>(*sqlite3_vfs_find(nullptr));  // time and chance as usual
  vfs->iVersion = 1;
  vfs->szOsFile = sizeof(OpenFile);
  vfs->mxPathname = 256;
  vfs->pNext = nullptr;
  vfs->zName = disk.vfs();
  vfs->pAppData = &disk;
  vfs->xOpen = open;
  vfs->xDelete = remove;
  vfs->xAccess = access;
  vfs->xFullPathname = full_name;
  sqlite3_vfs_register(vfs.get(), 0);
  return vfs;
}

void unregister_virtual_vfs(sqlite3_vfs& vfs) { sqlite3_vfs_unregister(&vfs); }

}  // namespace coshard::test
