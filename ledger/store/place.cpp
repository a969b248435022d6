// SPDX-License-Identifier: Apache-2.0
#include "ledger/store/place.h"

#include <algorithm>

#include "ledger/files.h"
#include "ledger/store/postgres_store.h"
#include "ledger/store/sqlite_store.h"

namespace coshard::ledger {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPlaceFile = "ledger.store";
constexpr const char* kDatabase = "ledger.sqlite";
constexpr std::size_t kPlaceBytesMax = 4096;
/// Entries copied and compared at a time.
constexpr std::uint64_t kChunk = 1024;
/// Roles (Store::role) of a store that is not the log's home.
const std::string kMovingIn = "a copy that is not complete";
const std::string kMovedTo = "moved to ";

Result<void> check_place(const std::string& place) {
  if (place == kSqlitePlace) return {};
  const bool is_url = place.starts_with("postgresql://") || place.starts_with("postgres://");
  if (!is_url || place.size() > kPlaceBytesMax || place.find('\n') != std::string::npos) {
    return fail(ErrorCode::kInvalidArgument,
                "the ledger's store: sqlite or postgresql://USER@HOST/DATABASE was expected");
  }
  const std::size_t user = place.find("://") + 3;
  const std::string_view authority =
      std::string_view(place).substr(user, place.find_first_of("/?", user) - user);
  const std::size_t at = authority.find('@');
  const bool in_user =
      at != std::string_view::npos && authority.substr(0, at).find(':') != std::string_view::npos;
  if (in_user || place.find("password=") != std::string::npos) {
    return fail(ErrorCode::kInvalidArgument,
                "the ledger's store: a URL without a password was expected, because it is "
                "remembered in the round's folder; put the password into ~/.pgpass");
  }
  return {};
}

Result<std::unique_ptr<Store>> open_place(const fs::path& directory, const std::string& place) {
  if (place == kSqlitePlace) return open_sqlite_store(directory / kDatabase);
  return open_postgres_store(place);
}

/// Empty when there is no log in this folder yet.
Result<std::string> remembered_place(const fs::path& directory) {
  const auto file = DiskFolder(directory).read(kPlaceFile, kPlaceBytesMax + 1);
  if (!file && file.error().code != ErrorCode::kNotFound) return tl::unexpected(file.error());
  if (!file) {  // begun before there was a choice
    std::error_code error;
    return fs::exists(directory / kDatabase, error) ? kSqlitePlace : "";
  }
  std::string place(as_text(*file));
  if (!place.empty() && place.back() == '\n') place.pop_back();
  COSHARD_TRY(check_place(place));
  return place;
}

Result<void> remember_place(const fs::path& directory, const std::string& place) {
  return DiskFolder(directory).write(kPlaceFile, as_bytes(place + "\n"));
}

/// What is in `to` must be how `from` begins.
Result<void> compare(const Store& from, const Store& to, std::uint64_t count) {
  for (std::uint64_t at = 0; at < count; at += kChunk) {
    const std::uint64_t some = std::min(kChunk, count - at);
    COSHARD_ASSIGN(const std::vector<Bytes> ours, from.read(at, some));
    COSHARD_ASSIGN(const std::vector<Bytes> copy, to.read(at, some));
    if (ours == copy) continue;
    return fail(ErrorCode::kCorruption, "entries " + std::to_string(at) + " to " +
                                            std::to_string(at + some - 1) +
                                            " differ between the two stores: nothing is moved");
  }
  return {};
}

Result<void> copy_all(const Store& from, Store& to) {
  COSHARD_ASSIGN(const std::uint64_t size, from.size());
  COSHARD_ASSIGN(std::uint64_t done, to.size());
  if (done > size) {
    return fail(ErrorCode::kFailedPrecondition,
                "the store to move to has more entries than the log: nothing is moved");
  }
  COSHARD_TRY(compare(from, to, done));
  while (done < size) {
    COSHARD_ASSIGN(const std::vector<Bytes> some, from.read(done, std::min(kChunk, size - done)));
    COSHARD_TRY(to.append(done, some, {}));
    done += some.size();
  }
  COSHARD_ASSIGN(const std::vector<SideFile> files, from.side_files());
  COSHARD_TRY(to.append(size, {}, files));
  COSHARD_ASSIGN(const std::optional<std::string> last, from.signed_checkpoint());
  COSHARD_ASSIGN(const std::optional<std::string> copied, to.signed_checkpoint());
  if (last && last != copied) COSHARD_TRY(to.swap_signed_checkpoint(copied, *last));
  COSHARD_TRY(compare(from, to, size));
  COSHARD_ASSIGN(const std::vector<SideFile> files_there, to.side_files());
  COSHARD_ASSIGN(const std::optional<std::string> last_there, to.signed_checkpoint());
  if (files_there == files && last_there == last) return {};
  return fail(ErrorCode::kCorruption, "the copy of the store differs from it: nothing is moved");
}

}  // namespace

Result<std::unique_ptr<Store>> open_store_at(const fs::path& directory, const std::string& place) {
  if (!place.empty()) COSHARD_TRY(check_place(place));
  COSHARD_ASSIGN(std::string home, remembered_place(directory));
  if (!home.empty() && !place.empty() && home != place) {
    return fail(ErrorCode::kFailedPrecondition,
                "this round's ledger is in the store " + home + ", not in " + place +
                    ": leave --ledger-store out, or move the ledger with --move-ledger-to");
  }
  if (home.empty()) {  // remembered first: a second log in another store is never begun
    home = place.empty() ? kSqlitePlace : place;
    COSHARD_TRY(remember_place(directory, home));
  }
  COSHARD_ASSIGN(std::unique_ptr<Store> store, open_place(directory, home));
  COSHARD_ASSIGN(const std::string role, store->role());
  if (role == kHome) return store;
  return fail(ErrorCode::kFailedPrecondition,
              "the ledger is not in the store " + home + " any more (" + role +
                  "): say the same --move-ledger-to again, so that the move is finished");
}

Result<void> move_store(Store& from, const std::string& from_name, Store& to,
                        const std::string& to_name) {
  COSHARD_ASSIGN(const std::string from_role, from.role());
  COSHARD_ASSIGN(const std::string to_role, to.role());
  if (from_role == kMovedTo + to_name) {  // cut short: the copy was complete by then
    return to_role == kHome ? Result<void>{} : to.set_role(kHome);
  }
  if (from_role != kHome) {
    return fail(ErrorCode::kFailedPrecondition,
                "the ledger is not in the store " + from_name + " (" + from_role + ")");
  }
  COSHARD_ASSIGN(const std::uint64_t there, to.size());
  if (to_role == kHome && there > 0) {
    return fail(ErrorCode::kFailedPrecondition, "the store " + to_name +
                                                    " has a ledger of its own: an empty database "
                                                    "was expected");
  }
  COSHARD_TRY(to.set_role(kMovingIn));
  COSHARD_TRY(copy_all(from, to));
  COSHARD_TRY(from.set_role(kMovedTo + to_name));  // from here on the log is in the other one
  return to.set_role(kHome);
}

Result<void> move_store_to(const fs::path& directory, const std::string& place) {
  COSHARD_TRY(check_place(place));
  COSHARD_ASSIGN(const std::string home, remembered_place(directory));
  if (home == place) return {};
  if (home.empty()) {
    return fail(ErrorCode::kNotFound, "no ledger in " + directory.string() + " that could move");
  }
  COSHARD_ASSIGN(const std::unique_ptr<Store> from, open_place(directory, home));
  COSHARD_ASSIGN(const std::unique_ptr<Store> to, open_place(directory, place));
  COSHARD_TRY(move_store(*from, home, *to, place));
  return remember_place(directory, place);
}

}  // namespace coshard::ledger
