// SPDX-License-Identifier: Apache-2.0
#include "ledger/tile_path.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <iterator>

namespace coshard::ledger {
namespace {

constexpr std::size_t kPathMax = 64;
constexpr std::uint32_t kLevelMax = 7;  // 256^8 = 2^64 leaves

std::string three_digits(std::uint64_t group) {
  const std::string digits = std::to_string(group);
  return std::string(3 - digits.size(), '0') + digits;
}

/// 1234067 -> "x001/x234/067"
std::string number_path(std::uint64_t number) {
  std::string out = three_digits(number % 1000);
  for (number /= 1000; number > 0; number /= 1000)
    out = "x" + three_digits(number % 1000) + "/" + out;
  return out;
}

/// Reads digits at the front of `text`; false when there are none or too many.
bool take_number(std::string_view& text, std::uint64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

}  // namespace

std::string TileId::path() const {
  const std::string kind = is_entries() ? "entries" : std::to_string(level);
  const std::string partial = is_partial() ? ".p/" + std::to_string(width) : "";
  return "tile/" + kind + "/" + number_path(number) + partial;
}

Result<TileId> TileId::parse(std::string_view path) {
  const auto bad = fail(ErrorCode::kInvalidArgument, "not the path of a tile");
  constexpr std::string_view kFolder = "tile/";
  constexpr std::string_view kEntriesFolder = "entries/";
  if (path.size() > kPathMax || !path.starts_with(kFolder)) return bad;
  std::string_view rest = path.substr(kFolder.size());
  TileId out;
  if (rest.starts_with(kEntriesFolder)) {
    out.level = kEntries;
    rest.remove_prefix(kEntriesFolder.size());
  } else {
    std::uint64_t level = 0;
    if (!take_number(rest, level) || level > kLevelMax || !rest.starts_with('/')) return bad;
    out.level = static_cast<std::uint32_t>(level);
    rest.remove_prefix(1);
  }
  const std::size_t dot = rest.find(".p/");
  if (dot != std::string_view::npos) {
    std::string_view width = rest.substr(dot + 3);
    if (!take_number(width, out.width) || out.width == 0 || out.width >= kTileWidth) return bad;
  }
  std::string digits;
  std::copy_if(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(std::min(dot, rest.size())),
               std::back_inserter(digits), [](char c) { return c != 'x' && c != '/'; });
  std::string_view number = digits;
  if (!take_number(number, out.number)) return bad;
  // Writing it again is the strictest parser: groups, leading zeros, trailing text.
  if (out.path() != path) return bad;
  return out;
}

std::vector<TileId> tiles_between(std::uint64_t old_size, std::uint64_t size) {
  std::vector<TileId> out;
  const auto add = [&](std::uint32_t level, std::uint64_t old_count, std::uint64_t count) {
    if (old_count == count) return;
    for (std::uint64_t n = old_count / kTileWidth; n < count / kTileWidth; ++n) {
      out.push_back({level, n, kTileWidth});
    }
    if (count % kTileWidth != 0) out.push_back({level, count / kTileWidth, count % kTileWidth});
  };
  add(TileId::kEntries, old_size, size);
  for (std::uint32_t level = 0; size > 0; ++level, old_size /= kTileWidth, size /= kTileWidth) {
    add(level, old_size, size);
  }
  return out;
}

std::vector<TileId> partial_tiles_of(std::uint64_t size) {
  std::vector<TileId> out;
  const auto add = [&out](std::uint32_t level, std::uint64_t count) {
    if (count % kTileWidth != 0) out.push_back({level, count / kTileWidth, count % kTileWidth});
  };
  add(TileId::kEntries, size);
  for (std::uint32_t level = 0; size > 0; ++level, size /= kTileWidth) add(level, size);
  return out;
}

std::vector<TileId> tiles_of(std::uint64_t size) { return tiles_between(0, size); }

}  // namespace coshard::ledger
