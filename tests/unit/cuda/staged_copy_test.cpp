// The order of work of a staged copy, on a fake bus.
// SPDX-License-Identifier: Apache-2.0
#include "shard/cuda/staged_copy.h"

#include <gtest/gtest.h>

#include <array>
#include <numeric>
#include <optional>
#include <vector>

namespace coshard::shard::cuda {
namespace {

constexpr std::uint64_t kPiece = 16;

/// Copies through slots that each hold one piece, as a device would: the bytes move at `finish`.
std::vector<int> copy_through_slots(const std::vector<int>& from, std::uint64_t& most_in_flight) {
  std::vector<int> to(from.size(), -1);
  std::array<std::optional<Piece>, kPieceSlots> slots;
  std::uint64_t in_flight = 0;
  for_each_piece(
      from.size(), kPiece,
      [&](const Piece& piece) {
        EXPECT_FALSE(slots[piece.slot]) << "a slot was begun again before it was finished";
        slots[piece.slot] = piece;
        most_in_flight = std::max(most_in_flight, ++in_flight);
      },
      [&](const Piece& piece) {
        EXPECT_TRUE(slots[piece.slot] && slots[piece.slot]->offset == piece.offset);
        slots[piece.slot].reset();
        --in_flight;
        for (std::uint64_t i = 0; i < piece.bytes; ++i)
          to.at(piece.offset + i) = from[piece.offset + i];
      });
  EXPECT_EQ(in_flight, 0U) << "every piece was finished";
  return to;
}

TEST(StagedCopy, MovesEveryByteOnceAndKeepsTheBusBusy) {
  for (const std::uint64_t bytes :
       {std::uint64_t{0}, std::uint64_t{1}, kPiece, kPiece + 1, 5 * kPiece + 3}) {
    std::vector<int> from(bytes);
    std::iota(from.begin(), from.end(), 0);
    std::uint64_t most_in_flight = 0;
    EXPECT_EQ(copy_through_slots(from, most_in_flight), from);
    const std::uint64_t pieces = (bytes + kPiece - 1) / kPiece;
    EXPECT_EQ(most_in_flight, std::min(pieces, kPieceSlots));
  }
}

}  // namespace
}  // namespace coshard::shard::cuda
