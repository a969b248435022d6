// See ledger_mirror.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/cli/ledger_mirror.h"

#include <cstdlib>
#include <map>

#include "ledger/entry.h"
#include "ledger/round_ledger.h"
#include "ledger/tiles.h"
#include "node/cli/http_client.h"
#include "node/cli/round_handle.h"
#include "node/web_url.h"

namespace coshard::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kEntriesMax = 10'000'000;
constexpr int kOk = 200;
constexpr int kNotThere = 404;

/// Where a log's files are: "http://HOST:PORT" and "/ledger/<model>".
struct Place {
  std::string base;
  std::string path;
};

Result<std::string> get(const Place& place, const std::string& name) {
  COSHARD_ASSIGN(HttpAnswer answer, http_get(place.base, place.path + "/" + name));
  if (answer.status == kOk) return std::move(answer.body);
  return fail(answer.status == kNotThere ? ErrorCode::kNotFound : ErrorCode::kUnavailable,
              place.base + place.path + "/" + name +
                  ": expected a file of a ledger, found status " + std::to_string(answer.status));
}

Result<Place> find_place(const std::string& url, const std::string& model) {
  COSHARD_ASSIGN(const node::WebUrl parsed, node::parse_web_url(url));
  Place place{parsed.base, parsed.path};
  if (!place.path.empty()) return place;
  std::string name = model;
  if (name.empty()) {
    COSHARD_ASSIGN(const node::RoundStatus status, ask_status(place.base));
    name = status.model;
  }
  place.path = "/ledger/" + name;
  return place;
}

/// Fetches `name` into the same place below the folder.
Result<Bytes> copy(const Place& place, const std::string& name, ledger::LogFolder& folder) {
  COSHARD_ASSIGN(const std::string body, get(place, name));
  COSHARD_TRY(folder.write(name, as_bytes(body)));
  return to_bytes(as_bytes(body));
}

/// Every unit file that the bundle's EpochClose entries name.
Result<void> copy_units(const Place& place, const ledger::TileId& tile, ByteView bundle,
                        ledger::LogFolder& folder) {
  COSHARD_ASSIGN(const auto entries, ledger::decode_bundle(bundle, tile.width));
  for (const Bytes& bytes : entries) {
    COSHARD_ASSIGN(const ledger::LedgerEntry entry, ledger::decode_entry(bytes));
    COSHARD_ASSIGN(const ledger::Body body, ledger::decode_body(entry.body));
    const auto* close = std::get_if<ledger::EpochClose>(&body.leaf);
    if (close != nullptr) COSHARD_TRY(copy(place, ledger::units_path(close->epoch), folder));
  }
  return {};
}

Result<void> copy_log(const Place& place, ledger::LogFolder& folder) {
  COSHARD_TRY(copy(place, "log.vkey", folder));
  COSHARD_ASSIGN(const Bytes note, copy(place, "checkpoint", folder));
  const std::string_view text = as_text(note);
  COSHARD_ASSIGN(const ledger::Checkpoint checkpoint,
                 ledger::Checkpoint::parse(text.substr(0, text.find("\n\n") + 1)));
  if (checkpoint.size > kEntriesMax)
    return fail(ErrorCode::kResourceExhausted,
                place.base + place.path + ": expected a log of at most " +
                    std::to_string(kEntriesMax) + " entries, found " +
                    std::to_string(checkpoint.size));
  // Partial tiles go when the log grows, everything else stays: those come first.
  const std::vector<ledger::TileId> tiles = ledger::tiles_of(checkpoint.size);
  std::map<std::string, Bytes> partial;
  for (const ledger::TileId& tile : tiles) {
    if (!tile.is_partial()) continue;
    COSHARD_ASSIGN(partial[tile.path()], copy(place, tile.path(), folder));
  }
  for (const ledger::TileId& tile : tiles) {
    Bytes bytes;
    if (tile.is_partial()) {
      bytes = std::move(partial[tile.path()]);
    } else {
      COSHARD_ASSIGN(bytes, copy(place, tile.path(), folder));
    }
    if (tile.is_entries()) COSHARD_TRY(copy_units(place, tile, bytes, folder));
  }
  return {};
}

class RemoteFolder final : public ledger::LogFolder {
 public:
  explicit RemoteFolder(Place place) : place_(std::move(place)) {}

  Result<Bytes> read(std::string_view path, std::size_t max) const override {
    COSHARD_ASSIGN(const std::string body, get(place_, std::string(path)));
    if (body.size() > max) {
      return fail(ErrorCode::kCorruption, describe(path) + ": expected at most " +
                                              std::to_string(max) + " bytes, found " +
                                              std::to_string(body.size()));
    }
    return to_bytes(as_bytes(body));
  }
  Result<void> write(std::string_view path, ByteView) override { return refuse(path); }
  Result<void> remove(std::string_view path) override { return refuse(path); }
  Result<std::vector<std::string>> list(std::string_view path) const override {
    return refuse(path);
  }
  std::string describe(std::string_view path) const override {
    return place_.base + place_.path + "/" + std::string(path);
  }

 private:
  tl::unexpected<Error> refuse(std::string_view path) const {
    return fail(ErrorCode::kPermissionDenied, describe(path) + ": is only read");
  }
  Place place_;
};

}  // namespace

Result<std::shared_ptr<const ledger::LogFolder>> open_remote_ledger(const std::string& url,
                                                                    const std::string& model) {
  COSHARD_ASSIGN(Place place, find_place(url, model));
  return std::make_shared<RemoteFolder>(std::move(place));
}

Result<LedgerMirror> LedgerMirror::fetch(const std::string& url, const std::string& model) {
  COSHARD_ASSIGN(const Place place, find_place(url, model));
  std::error_code ec;
  std::string pattern = (fs::temp_directory_path(ec) / "coshard-ledger-XXXXXX").string();
  if (ec || mkdtemp(pattern.data()) == nullptr)
    return fail(ErrorCode::kUnavailable, "could not make a temporary folder " + pattern);
  LedgerMirror mirror{fs::path(pattern)};
  ledger::DiskFolder folder(mirror.folder());
  // A log that grows drops its partial tiles: what the checkpoint named a moment ago may be gone.
  constexpr int kTries = 5;
  Result<void> copied = copy_log(place, folder);
  for (int left = kTries - 1; left > 0 && !copied; --left) {
    if (copied.error().code != ErrorCode::kNotFound) break;
    for (const auto& entry : fs::directory_iterator(mirror.folder(), ec))
      fs::remove_all(entry.path(), ec);
    copied = copy_log(place, folder);
  }
  COSHARD_TRY(copied);
  return mirror;
}

LedgerMirror::LedgerMirror(LedgerMirror&& other) noexcept
    : folder_(std::exchange(other.folder_, fs::path())) {}

LedgerMirror::~LedgerMirror() {
  std::error_code ec;
  if (!folder_.empty()) fs::remove_all(folder_, ec);
}

}  // namespace coshard::cli
