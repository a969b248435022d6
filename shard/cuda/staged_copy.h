// The order of work of a copy between pageable host memory and a device through a few page-locked
// pieces: while one piece crosses the bus, the host copies the next. Pure; the callbacks do the
// work.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

namespace coshard::shard::cuda {

inline constexpr std::uint64_t kPieceBytes = std::uint64_t{4} << 20;
inline constexpr std::uint64_t kPieceSlots = 2;

/// Bytes [offset, offset + bytes) of the copy, by way of staging slot `slot`.
struct Piece {
  std::uint64_t offset, bytes, slot;
};

/// Calls begin and finish once for each piece, both in order; a slot's last piece is finished
/// before its next begins.
template <class Begin, class Finish>
void for_each_piece(std::uint64_t bytes, std::uint64_t piece_bytes, Begin&& begin,
                    Finish&& finish) {
  const auto piece = [&](std::uint64_t i) {
    const std::uint64_t offset = i * piece_bytes;
    return Piece{offset, std::min(piece_bytes, bytes - offset), i % kPieceSlots};
  };
  const std::uint64_t pieces = (bytes + piece_bytes - 1) / piece_bytes;
  std::uint64_t begun = 0;
  for (std::uint64_t finished = 0; finished < pieces; ++finished) {
    for (; begun < pieces && begun < finished + kPieceSlots; ++begun) begin(piece(begun));
    finish(piece(finished));
  }
}

}  // namespace coshard::shard::cuda
