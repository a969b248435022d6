// What is sealed in pieces comes out as it went in, and not at all where a byte is another.
// SPDX-License-Identifier: Apache-2.0
#include "crypto/seal_stream.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "protocol/base/rng.h"

namespace coshard::crypto {
namespace {

constexpr std::size_t kHeader = 24, kExtra = 17;

Bytes some_bytes(std::size_t size) {
  Rng rng(size + 1);
  Bytes bytes(size);
  std::ranges::generate(bytes, [&] { return static_cast<std::uint8_t>(rng()); });
  return bytes;
}

/// A source of `bytes`, and what came out at the sink.
template <class Stream>
Result<Bytes> run(Stream stream, ByteView key, const Bytes& bytes) {
  Bytes out;
  std::size_t at = 0;
  const auto source = [&](std::span<std::uint8_t> to) -> Result<std::size_t> {
    const std::size_t size = std::min(to.size(), bytes.size() - at);
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), size, to.begin());
    at += size;
    return size;
  };
  const auto sink = [&](ByteView piece) -> Result<void> {
    out.insert(out.end(), piece.begin(), piece.end());
    return {};
  };
  COSHARD_TRY(stream(key, source, sink));
  return out;
}

class SealStream : public ::testing::TestWithParam<std::size_t> {
 protected:
  const Bytes key_ = some_bytes(kSealKeyBytes);
  const Bytes plain_ = some_bytes(GetParam());
};

TEST_P(SealStream, WhatWentInComesOut) {
  const Bytes sealed = run(seal_stream, key_, plain_).value();
  EXPECT_EQ(sealed.size(),
            kHeader + plain_.size() + kExtra * (plain_.size() / kSealPieceBytes + 1));
  EXPECT_EQ(run(open_stream, key_, sealed).value(), plain_);
  EXPECT_NE(run(seal_stream, key_, plain_).value(), sealed) << "no two streams are alike";
  if (plain_.size() < 32) return;
  const auto inside = std::ranges::search(sealed, ByteView(plain_).first(16));
  EXPECT_TRUE(inside.empty()) << "it can be read";
}

TEST_P(SealStream, AnotherKeyAndEveryChangeAreNoticed) {
  const Bytes sealed = run(seal_stream, key_, plain_).value();
  const auto refused = [&](const Bytes& key, const Bytes& bytes, const char* what) {
    const auto opened = run(open_stream, key, bytes);
    ASSERT_FALSE(opened) << what;
    EXPECT_EQ(opened.error().code, ErrorCode::kPermissionDenied) << what;
  };
  Bytes other = key_;
  other[31] ^= 1;
  refused(other, sealed, "another key");
  const std::size_t piece = kSealPieceBytes + kExtra;
  for (const std::size_t at : {std::size_t{0}, kHeader - 1, kHeader, sealed.size() - 1,
                               sealed.size() / 2, std::min(sealed.size() - 1, kHeader + piece)}) {
    Bytes changed = sealed;
    changed[at] ^= 0x40;
    refused(key_, changed, "a changed byte");
  }
  for (const std::size_t size : {std::size_t{0}, kHeader, sealed.size() - 1,
                                 kHeader + (sealed.size() - kHeader - 1) / piece * piece})
    refused(key_, Bytes(sealed.begin(), sealed.begin() + static_cast<std::ptrdiff_t>(size)),
            "a cut end");
  Bytes longer = sealed;
  longer.push_back(0);
  refused(key_, longer, "more than was sealed");
  if (plain_.size() < 2 * kSealPieceBytes) return;
  Bytes swapped = sealed;
  std::swap_ranges(swapped.begin() + kHeader,
                   swapped.begin() + static_cast<std::ptrdiff_t>(kHeader + piece),
                   swapped.begin() + static_cast<std::ptrdiff_t>(kHeader + piece));
  refused(key_, swapped, "swapped pieces");
}

INSTANTIATE_TEST_SUITE_P(Sizes, SealStream,
                         ::testing::Values(0, 1, 1000, kSealPieceBytes - 1, kSealPieceBytes,
                                           kSealPieceBytes + 1, 3 * kSealPieceBytes,
                                           3 * kSealPieceBytes + 5));

TEST(SealStreamErrors, OfTheSourceAndTheSinkAreHandedOn) {
  const Bytes key = some_bytes(kSealKeyBytes);
  const auto source = [](std::span<std::uint8_t>) -> Result<std::size_t> {
    return fail(ErrorCode::kUnavailable, "no disk");
  };
  const auto full = [](ByteView) -> Result<void> {
    return fail(ErrorCode::kResourceExhausted, "full");
  };
  const auto sink = [](ByteView) { return Result<void>(); };
  EXPECT_EQ(seal_stream(key, source, sink).error().message, "no disk");
  EXPECT_EQ(seal_stream(key, source, full).error().message, "full");
  EXPECT_EQ(open_stream(key, source, sink).error().message, "no disk");
}

}  // namespace
}  // namespace coshard::crypto
