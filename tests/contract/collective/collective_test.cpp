// What every Collective promises (shard/collective/collective.h), for the plain one on host memory
// and for NCCL on all CUDA devices of this box; without any, NCCL's part skips and says so.
// SPDX-License-Identifier: Apache-2.0
#include "shard/collective/collective.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include "shard/engine/device.h"

namespace coshard::shard {
namespace {

/// Opened once, before the first torch call of the process.
const Result<DeviceModule*>& cuda_module() {
  static const Result<DeviceModule*> module = open_cuda_module();
  return module;
}

struct Implementation {
  const char* name;
  int host_ranks;  ///< 0: NCCL on every CUDA device
};

void PrintTo(const Implementation& each, std::ostream* out) { *out << each.name; }

constexpr Implementation kImplementations[] = {
    {"local_1", 1}, {"local_2", 2}, {"local_3", 3}, {"nccl", 0}};

class EveryCollective : public ::testing::TestWithParam<Implementation> {
 protected:
  void SetUp() override {
    if (GetParam().host_ranks > 0) {
      collective_ = make_local_collective(GetParam().host_ranks);
      devices_.assign(static_cast<std::size_t>(collective_->ranks()), at::kCPU);
      return;
    }
    if (!cuda_module()) GTEST_SKIP() << cuda_module().error().message;
    DeviceModule& module = **cuda_module();
    if (module.device_count() == 0) GTEST_SKIP() << module.why_no_device();
    std::vector<int> indices(static_cast<std::size_t>(module.device_count()));
    std::iota(indices.begin(), indices.end(), 0);
    auto made = module.make_collective(indices);
    ASSERT_TRUE(made) << made.error().message;
    collective_ = std::move(*made);
    for (const int index : indices)
      devices_.emplace_back(at::kCUDA, static_cast<at::DeviceIndex>(index));
  }

  std::size_t ranks() const { return devices_.size(); }

  /// What each rank holds after the sum of what each brought, on the host.
  std::vector<at::Tensor> all_reduce(const std::vector<at::Tensor>& brought) {
    std::vector<at::Tensor> there;
    std::vector<float*> pointers;
    for (std::size_t rank = 0; rank < ranks(); ++rank) {
      there.push_back(brought[rank].to(devices_[rank]).clone());
      pointers.push_back(there.back().mutable_data_ptr<float>());
    }
    const auto count = static_cast<std::uint64_t>(brought[0].numel());
    const auto done = collective_->all_reduce_sum(pointers, count);
    EXPECT_TRUE(done) << done.error().message;
    for (at::Tensor& tensor : there) tensor = tensor.cpu();
    return there;
  }

  std::vector<at::Tensor> random_tensors(std::int64_t count, std::uint64_t seed) const {
    std::vector<at::Tensor> out;
    std::mt19937_64 random(seed);
    std::normal_distribution<float> normal;
    for (std::size_t rank = 0; rank < ranks(); ++rank) {
      out.push_back(at::empty({count}, at::kFloat));
      float* const at = out.back().mutable_data_ptr<float>();
      std::generate(at, at + count, [&] { return normal(random); });
    }
    return out;
  }

  std::unique_ptr<Collective> collective_;
  std::vector<at::Device> devices_;
};

INSTANTIATE_TEST_SUITE_P(Implementations, EveryCollective, ::testing::ValuesIn(kImplementations),
                         [](const auto& each) { return std::string(each.param.name); });

TEST_P(EveryCollective, SumsOfWholeNumbersAreExact) {
  EXPECT_EQ(static_cast<std::size_t>(collective_->ranks()), ranks());
  for (const std::int64_t count : {1, 3, 256, 1'000'003}) {
    std::vector<at::Tensor> brought;
    for (std::size_t rank = 0; rank < ranks(); ++rank)
      brought.push_back(at::arange(count, at::kFloat).add(static_cast<double>(1000 * rank)));
    at::Tensor expected = at::zeros({count});
    for (const at::Tensor& tensor : brought) expected.add_(tensor);
    for (const at::Tensor& held : all_reduce(brought)) EXPECT_TRUE(at::equal(held, expected));
  }
}

TEST_P(EveryCollective, EveryRankHoldsTheSameBytesCloseToTheSumInDouble) {
  const auto brought = random_tensors(100'003, 7);
  at::Tensor sum = at::zeros({100'003}, at::kDouble), magnitude = at::zeros_like(sum);
  for (const at::Tensor& tensor : brought) {
    sum.add_(tensor.to(at::kDouble));
    magnitude.add_(tensor.to(at::kDouble).abs());
  }
  const auto held = all_reduce(brought);
  for (const at::Tensor& each : held) EXPECT_TRUE(at::equal(each, held[0]));
  // One rounding of at most 2^-24 of the running sum for every rank.
  const at::Tensor error = held[0].to(at::kDouble).sub(sum).abs();
  const at::Tensor bound = magnitude.mul(std::ldexp(static_cast<double>(ranks()), -24));
  EXPECT_TRUE(error.le(bound).all().item<bool>());
}

TEST_P(EveryCollective, GivesTheSameBytesEveryTime) {
  const auto brought = random_tensors(70'001, 8);
  EXPECT_TRUE(at::equal(all_reduce(brought)[0], all_reduce(brought)[0]));
}

TEST_P(EveryCollective, OfNothingIsNothing) {
  std::vector<float*> pointers(ranks(), nullptr);
  EXPECT_TRUE(collective_->all_reduce_sum(pointers, 0));
}

TEST(CudaCollective, OfDevicesThatAreNotThereIsAnErrorValue) {
  if (!cuda_module()) GTEST_SKIP() << cuda_module().error().message;
  DeviceModule& module = **cuda_module();
  const int beyond[] = {module.device_count()};
  const auto made = module.make_collective(beyond);
  ASSERT_FALSE(made);
  if (module.device_count() == 0) {
    EXPECT_EQ(made.error().code, ErrorCode::kFailedPrecondition);
    EXPECT_EQ(made.error().message, module.why_no_device());
  } else {
    EXPECT_EQ(made.error().code, ErrorCode::kInvalidArgument);
    const int twice[] = {0, 0};
    EXPECT_EQ(module.make_collective(twice).error().code, ErrorCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace coshard::shard
