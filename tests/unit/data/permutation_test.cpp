// The order of data: a permutation, keyed, the same as a second implementation's.
// SPDX-License-Identifier: Apache-2.0
#include "shard/data/permutation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace coshard::shard {
namespace {

TEST(KeyedPermutation, GivesTheOrderOfThePythonImplementation) {
  const KeyedPermutation permutation(7, 3, 1000);  // tests/unit/numeric/golden.py
  const std::vector<std::uint64_t> expected{278, 455, 795, 828, 535, 553, 712, 401};
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(permutation(i), expected[i]);
}

TEST(KeyedPermutation, TakesEveryValueOnce) {
  for (const std::uint64_t count : {1U, 2U, 3U, 4U, 5U, 16U, 17U, 1000U, 4097U}) {
    for (std::uint64_t pass = 0; pass < 3; ++pass) {
      std::vector<bool> seen(count);
      const KeyedPermutation permutation(1, pass, count);
      for (std::uint64_t i = 0; i < count; ++i) {
        const std::uint64_t image = permutation(i);
        ASSERT_LT(image, count);
        ASSERT_FALSE(seen[image]);
        seen[image] = true;
      }
    }
  }
}

TEST(KeyedPermutation, LooksRandomAndDependsOnSeedAndPass) {
  constexpr std::uint64_t kCount = 10'000;
  const KeyedPermutation a(1, 0, kCount), b(1, 1, kCount), c(2, 0, kCount);
  double correlation = 0;
  int fixed = 0, same_b = 0, same_c = 0;
  for (std::uint64_t i = 0; i < kCount; ++i) {
    correlation += (static_cast<double>(i) / kCount - 0.5) *
                   (static_cast<double>(a(i)) / kCount - 0.5) * 12 / kCount;
    fixed += a(i) == i;
    same_b += a(i) == b(i);
    same_c += a(i) == c(i);
  }
  EXPECT_LT(std::abs(correlation), 4 / std::sqrt(double{kCount}));
  // Each is Poisson with mean 1.
  EXPECT_LT(fixed, 8);
  EXPECT_LT(same_b, 8);
  EXPECT_LT(same_c, 8);
}

TEST(KeyedPermutation, ReachesFarDomains) {
  const KeyedPermutation permutation(1, 0, std::uint64_t{1} << 62);
  EXPECT_LT(permutation(0), std::uint64_t{1} << 62);
  EXPECT_NE(permutation(0), permutation(1));
}

}  // namespace
}  // namespace coshard::shard
