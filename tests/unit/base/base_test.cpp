// The base vocabulary: encodings against published vectors, the generator against its paper's known
// answers.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <thread>

#include "protocol/base/bounded_queue.h"
#include "protocol/base/bytes.h"
#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/base/quantity.h"
#include "protocol/base/rng.h"
#include "protocol/base/tensor_blob.h"

namespace coshard {
namespace {

TEST(Bytes, Base64FollowsRfc4648) {
  const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : vectors) {
    EXPECT_EQ(to_base64(as_bytes(plain)), encoded);
    ASSERT_TRUE(from_base64(encoded));
    EXPECT_EQ(as_text(*from_base64(encoded)), plain);
  }
}

TEST(Bytes, Base64RefusesWhatIsNotCanonical) {
  for (const char* bad :
       {"Zg=", "Zg", "Zh==", "Zm9=", "Zm 9v", "Zg==Zg==", "====", "Z===", "Zm9v\n"}) {
    EXPECT_FALSE(from_base64(bad)) << bad;
  }
}

TEST(Bytes, HexRoundTripsAndRefusesUpperCase) {
  EXPECT_EQ(to_hex(*from_hex("00ff10")), "00ff10");
  EXPECT_FALSE(from_hex("0"));
  EXPECT_FALSE(from_hex("FF"));
}

// Known answers of Random123 (Salmon et al. 2011), file kat_vectors, philox4x32 with 10 rounds.
TEST(Rng, PhiloxKnownAnswers) {
  EXPECT_EQ(philox(0, PhiloxBlock{0, 0, 0, 0}),
            (PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox(~0ull, PhiloxBlock{~0u, ~0u, ~0u, ~0u}),
            (PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(
      philox(0x299f31d0a4093822ull, PhiloxBlock{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}),
      (PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(TensorBlob, CountRefusesNegativeAndOverflow) {
  EXPECT_EQ(element_count({}), 1u);
  EXPECT_EQ(element_count({2, 3, 4}), 24u);
  EXPECT_EQ(element_count({2, 0, 4}), 0u);
  EXPECT_FALSE(element_count({2, -1}));
  EXPECT_FALSE(element_count({std::int64_t{1} << 40, std::int64_t{1} << 40}));
  EXPECT_EQ(dense_bytes(DType::kBF16, {3, 5}), 30u);
  EXPECT_FALSE(dense_bytes(static_cast<DType>(99), {3}));
}

TEST(BoundedQueue, RefusesWhenFullAndDrainsAfterClose) {
  BoundedQueue<int> queue(2);
  EXPECT_TRUE(queue.try_push(1));
  EXPECT_TRUE(queue.try_push(2));
  EXPECT_FALSE(queue.try_push(3));
  queue.close();
  EXPECT_FALSE(queue.try_push(4));
  EXPECT_EQ(queue.pop(), 1);
  EXPECT_EQ(queue.pop(), 2);
  EXPECT_EQ(queue.pop(), std::nullopt);
}

TEST(BoundedQueue, CloseWakesAWaiter) {
  BoundedQueue<int> queue(1);
  std::jthread waiter([&] { EXPECT_EQ(queue.pop(), std::nullopt); });
  queue.close();
}

Result<int> half(int value) {
  if (value % 2 != 0)
    return fail(ErrorCode::kInvalidArgument,
                "expected an even number, found " + std::to_string(value));
  return value / 2;
}
Result<int> quarter(int value) {
  COSHARD_ASSIGN(const int halved, half(value));
  return half(halved);
}

TEST(Error, MacrosPropagate) {
  EXPECT_EQ(quarter(8), 2);
  EXPECT_EQ(quarter(6).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(quarter(6).error().within("quarter").message,
            "quarter: expected an even number, found 3");
}

TEST(Quantity, BytesHaveThreeDigits) {
  const std::pair<double, const char*> texts[] = {
      {0, "0 B"},           {1023, "1023 B"},           {1024, "1.00 KiB"},
      {1536, "1.50 KiB"},   {12.34 * 1024, "12.3 KiB"}, {512.0 * 1024 * 1024, "512 MiB"},
      {7.93e9, "7.39 GiB"}, {7.96e9, "7.41 GiB"},       {3e15, "2728 TiB"}};
  for (const auto& [bytes, text] : texts) EXPECT_EQ(bytes_text(bytes), text);
  EXPECT_EQ(bytes_text(std::uint64_t{1536}), "1.50 KiB");
}

}  // namespace
}  // namespace coshard
