// SPDX-License-Identifier: Apache-2.0
#include "tests/support/virtual_disk.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "tests/support/virtual_disk_vfs.h"

namespace coshard::test {
namespace {

constexpr std::size_t kSector = 512;

std::string parent_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

void put(Bytes& out, std::size_t offset, ByteView bytes) {
  if (out.size() < offset + bytes.size()) out.resize(offset + bytes.size());
  std::copy(bytes.begin(), bytes.end(), out.begin() + static_cast<std::ptrdiff_t>(offset));
}

Result<void> answer(int reason, const std::string& path) {
  if (reason == 0) return {};
  return fail(reason == ENOSPC ? ErrorCode::kResourceExhausted : ErrorCode::kUnavailable,
              path + ": " + std::strerror(reason));
}

}  // namespace

VirtualDisk::VirtualDisk() {
  static int count = 0;
  name_ = "virtual-disk-" + std::to_string(++count);
  vfs_ = register_virtual_vfs(*this);
}

VirtualDisk::~VirtualDisk() { unregister_virtual_vfs(*vfs_); }

void VirtualDisk::Names::apply(const NameChange& change) {
  if (!change.removed.empty()) files.erase(change.removed);
  if (change.is_folder) folders.insert(change.path);
  if (change.file) files[change.path] = change.file;
}

int VirtualDisk::pass(bool grows) {
  if (off_) return EIO;
  const std::uint64_t now = operations_++;
  if (power_until && now >= *power_until) {
    off_ = true;
    return EIO;
  }
  return grows && full_from && now >= *full_from ? ENOSPC : 0;
}

void VirtualDisk::change(NameChange change) {
  visible_.apply(change);
  pending_.push_back(std::move(change));
}

VirtualDisk::File VirtualDisk::find(const std::string& path) const {
  const auto found = visible_.files.find(path);
  return found == visible_.files.end() ? nullptr : found->second;
}

int VirtualDisk::create(const std::string& path, File& file) {
  if (const int reason = pass(true)) return reason;
  file = std::make_shared<Inode>();
  change({"", path, file});
  return 0;
}

int VirtualDisk::write(Inode& file, std::size_t offset, ByteView bytes) {
  if (const int reason = pass(true)) return reason;
  put(file.visible, offset, bytes);
  for (std::size_t at = 0; at < bytes.size();) {  // sector by sector: each has its own fate
    const std::size_t room = kSector - (offset + at) % kSector;
    const std::size_t length = std::min(room, bytes.size() - at);
    file.pending.push_back({offset + at, to_bytes(bytes.subspan(at, length))});
    at += length;
  }
  return 0;
}

int VirtualDisk::truncate(Inode& file, std::size_t size) {
  if (const int reason = pass(false)) return reason;
  file.visible.resize(size);
  file.pending.push_back({size, {}, true});
  return 0;
}

/// After a sync that failed, what it should have written is in memory and will never be on the
/// disk, whatever a later sync says: what Linux does.
int VirtualDisk::sync(Inode& file) {
  if (const int reason = pass(false)) return reason;
  if (sync_fails && operations_ > *sync_fails) {
    sync_fails.reset();
    file.pending.clear();
    return EIO;
  }
  if (ignores_syncs) return 0;
  for (const Inode::Piece& piece : file.pending) {
    if (piece.cuts) file.durable.resize(piece.offset);
    put(file.durable, piece.offset, piece.bytes);
  }
  file.pending.clear();
  return 0;
}

int VirtualDisk::sync_names(const std::string& folder) {
  if (const int reason = pass(false)) return reason;
  if (ignores_syncs) return 0;
  std::erase_if(pending_, [&](const NameChange& one) {
    const std::string& path = one.path.empty() ? one.removed : one.path;
    if (parent_of(path) != folder) return false;
    durable_.apply(one);
    return true;
  });
  return 0;
}

int VirtualDisk::erase(const std::string& path) {
  if (const int reason = pass(false)) return reason;
  if (find(path)) change({path, "", nullptr});
  return 0;
}

void VirtualDisk::restart(Rng& rng) {
  const std::uint64_t kept_of_four = rng.below(5);  // from none to all
  const auto survives = [&] { return rng.below(4) < kept_of_four; };
  std::set<File> files;
  for (const auto& [path, file] : visible_.files) files.insert(file);
  for (const auto& [path, file] : durable_.files) files.insert(file);
  for (const NameChange& one : pending_) {
    if (one.file) files.insert(one.file);
    if (survives()) durable_.apply(one);
  }
  std::vector<File> in_order;  // not by address: the same seed is the same disk
  for (const auto& [path, file] : durable_.files) in_order.push_back(file);
  for (const File& file : in_order) {
    for (const Inode::Piece& piece : file->pending) {
      if (!survives()) continue;
      if (piece.cuts) file->durable.resize(piece.offset);
      put(file->durable, piece.offset, piece.bytes);
    }
    file->pending.clear();
    file->visible = file->durable;
  }
  std::erase_if(durable_.files,
                [&](const auto& one) { return !durable_.folders.contains(parent_of(one.first)); });
  pending_.clear();
  visible_ = durable_;
  off_ = false;
  power_until.reset();
}

Result<void> VirtualDisk::write_and_sync(const std::filesystem::path& path, ByteView bytes) {
  File file;
  int reason = create(path.string(), file);
  const std::size_t half = bytes.size() / 2;
  if (reason == 0) reason = write(*file, 0, bytes.first(half));
  if (reason == 0) reason = write(*file, half, bytes.subspan(half));
  if (reason == 0) reason = sync(*file);
  return answer(reason, path.string());
}

Result<void> VirtualDisk::sync_folder(const std::filesystem::path& path) {
  return answer(sync_names(path.string()), path.string());
}

Result<void> VirtualDisk::rename(const std::filesystem::path& from,
                                 const std::filesystem::path& to) {
  const int reason = pass(false);
  if (reason == 0) change({from.string(), to.string(), find(from.string())});
  return answer(reason, from.string());
}

Result<void> VirtualDisk::unlink(const std::filesystem::path& path) {
  return answer(erase(path.string()), path.string());
}

bool VirtualDisk::is_folder(const std::filesystem::path& path) const {
  return visible_.folders.contains(path.string());
}

Result<void> VirtualDisk::make_folder(const std::filesystem::path& path) {
  const int reason = pass(true);
  if (reason == 0) change({"", path.string(), nullptr, true});
  return answer(reason, path.string());
}

Result<Bytes> VirtualDisk::read(const std::filesystem::path& path, std::size_t max) const {
  const File file = find(path.string());
  if (!file) return fail(ErrorCode::kNotFound, path.string() + ": no such file");
  if (file->visible.size() > max) return fail(ErrorCode::kCorruption, path.string());
  return file->visible;
}

Result<std::vector<std::string>> VirtualDisk::list(const std::filesystem::path& root,
                                                   std::string_view path) const {
  const std::string below = (path.empty() ? root : root / path).string() + "/";
  std::vector<std::string> out;
  for (const auto& [name, file] : visible_.files) {
    if (name.starts_with(below)) out.push_back(name.substr(root.string().size() + 1));
  }
  return out;
}

}  // namespace coshard::test
