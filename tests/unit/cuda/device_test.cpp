// Every DeviceKernels of this box against the plain arithmetic of shard/numeric, bit for bit, and
// the engine on a GPU against the engine on the CPU. The same bodies run on the CPU's kernels, so
// they are proven where there is no GPU; the GPU's part skips there and says so.
// SPDX-License-Identifier: Apache-2.0
#include "shard/engine/device.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>
#include <vector>

#include "shard/numeric/adamw.h"
#include "shard/numeric/reduce.h"
#include "shard/numeric/squared_norm.h"

namespace coshard::shard {
namespace {

/// Opened once, before the first torch call of the process.
const Result<DeviceModule*>& cuda_module() {
  static const Result<DeviceModule*> module = open_cuda_module();
  return module;
}

/// Why nothing can run on a GPU here, or nothing.
std::string why_no_gpu() {
  if (!cuda_module()) return cuda_module().error().message;
  return (*cuda_module())->device_count() > 0 ? "" : (*cuda_module())->why_no_device();
}

struct Kind {
  const char* name;
  DeviceKind device;
};
void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }

class EveryDevice : public ::testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    const std::string why = why_no_gpu();
    if (GetParam().device == DeviceKind::kCuda && !why.empty()) GTEST_SKIP() << why;
    auto kernels = kernels_of({GetParam().device, 0});
    ASSERT_TRUE(kernels) << kernels.error().message;
    kernels_ = *kernels;
  }

  at::Device device() const {
    return GetParam().device == DeviceKind::kCuda ? at::kCUDA : at::kCPU;
  }

  at::Tensor upload(const std::vector<float>& values) {
    at::Tensor out = at::empty({static_cast<std::int64_t>(values.size())}, device());
    kernels_->copy_to_device(out.mutable_data_ptr(), values.data(), 4 * values.size());
    return out;
  }
  std::vector<std::uint32_t> bits_of(const at::Tensor& tensor) {
    std::vector<std::uint32_t> out(static_cast<std::size_t>(tensor.numel()));
    kernels_->copy_to_host(out.data(), tensor.const_data_ptr(), 4 * out.size());
    return out;
  }

  DeviceKernels* kernels_ = nullptr;
};

INSTANTIATE_TEST_SUITE_P(Devices, EveryDevice,
                         ::testing::Values(Kind{"cpu", DeviceKind::kCpu},
                                           Kind{"cuda", DeviceKind::kCuda}),
                         [](const auto& each) { return std::string(each.param.name); });

/// Finite, of every magnitude down to subnormals.
std::vector<float> floats(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<int> exponent(-148, 60);
  std::normal_distribution<float> mantissa;
  std::vector<float> out(count);
  for (float& value : out) value = std::ldexp(mantissa(random), exponent(random));
  return out;
}

std::vector<std::uint32_t> bits(const std::vector<float>& values) {
  std::vector<std::uint32_t> out;
  for (const float value : values) out.push_back(std::bit_cast<std::uint32_t>(value));
  return out;
}

CommitScalars some_commit() {
  CommitScalars commit;
  commit.step_size = 1.7e-3F;
  commit.decay_factor = 1 - 1e-4F;
  commit.sqrt_bias_correction2 = 0.43F;
  commit.beta1 = 0.9F, commit.one_minus_beta1 = 0.1F;
  commit.beta2 = 0.95F, commit.one_minus_beta2 = 0.05F;
  commit.clip_factor = 0.37F;
  return commit;
}

constexpr std::size_t kCounts[] = {1, 255, 257, 4096, 1'200'007};

TEST_P(EveryDevice, CopiesArriveUnchangedWhateverTheirSize) {
  for (const std::size_t count : {std::size_t{0}, std::size_t{1}, std::size_t{1} << 20,
                                  (std::size_t{1} << 20) + 1, std::size_t{3'500'003}}) {
    const std::vector<float> values = floats(count, 1);
    EXPECT_EQ(bits_of(upload(values)), bits(values)) << count;
  }
}

TEST_P(EveryDevice, UpdatesLikeThePlainLoopBitForBit) {
  for (const std::size_t count : kCounts) {
    std::vector<float> weight = floats(count, 1), m(count), v(count);
    const at::Tensor on_device[] = {upload(weight), upload(m), upload(v)};
    for (const bool decays : {true, false}) {
      const std::vector<float> average = floats(count, decays);
      const at::Tensor average_there = upload(average);
      adamw_update(weight, m, v, average, some_commit(), decays);
      kernels_->adamw_update(
          {on_device[0].mutable_data_ptr<float>(), on_device[1].mutable_data_ptr<float>(),
           on_device[2].mutable_data_ptr<float>(), average_there.const_data_ptr<float>(), count,
           decays},
          some_commit());
    }
    EXPECT_EQ(bits_of(on_device[0]), bits(weight));
    EXPECT_EQ(bits_of(on_device[1]), bits(m));
    EXPECT_EQ(bits_of(on_device[2]), bits(v));
  }
}

TEST_P(EveryDevice, ASkippedCommitTouchesNothing) {
  const std::vector<float> values = floats(1000, 1);
  const at::Tensor there = upload(values), same = upload(values);
  CommitScalars commit = some_commit();
  commit.skip = true;
  float* const at = there.mutable_data_ptr<float>();
  kernels_->adamw_update({at, at, at, same.const_data_ptr<float>(), 1000, true}, commit);
  EXPECT_EQ(bits_of(there), bits(values));
}

TEST_P(EveryDevice, ReducesLikeThePlainSumInOrder) {
  for (const std::size_t size : {1U, 2U, 3U, 16U, 17U, 40U}) {
    constexpr std::size_t kCount = 70'001;
    std::vector<std::vector<float>> from;
    std::vector<std::span<const float>> spans;
    std::vector<at::Tensor> there;
    std::vector<const float*> pointers;
    for (unsigned c = 0; c < size; ++c) from.push_back(floats(kCount, c));
    for (const auto& contribution : from) {
      spans.emplace_back(contribution);
      there.push_back(upload(contribution));
      pointers.push_back(there.back().const_data_ptr<float>());
    }
    std::vector<float> plain(kCount);
    sum_in_order(plain, spans, 1.0F / 3);
    kernels_->reduce_in_order(there[0].mutable_data_ptr<float>(), pointers, kCount, 1.0F / 3);
    EXPECT_EQ(bits_of(there[0]), bits(plain)) << size << " contributions";
  }
}

TEST_P(EveryDevice, NormsAndFingerprintsAreThePlainOnes) {
  const FingerprintKey key{0x0123456789ABCDEFU, 0xFEDCBA9876543210U};
  for (const std::size_t count : kCounts) {
    const std::vector<float> values = floats(count, 3);
    const at::Tensor there = upload(values);
    const float* const at = there.const_data_ptr<float>();
    EXPECT_EQ(std::bit_cast<std::uint64_t>(kernels_->squared_norm(at, count)),
              std::bit_cast<std::uint64_t>(squared_norm(values)));
    EXPECT_EQ(kernels_->fingerprint(key, 9, at, count), fingerprint_part(key, 9, 0, values));
  }
}

TEST_P(EveryDevice, NormOfSomethingNotFiniteIsNotFinite) {
  std::vector<float> values = floats(1000, 1);
  for (const float bad : {INFINITY, -INFINITY, NAN}) {
    values[777] = bad;
    EXPECT_FALSE(std::isfinite(
        kernels_->squared_norm(upload(values).const_data_ptr<float>(), values.size())));
  }
}

TEST_P(EveryDevice, WorkingCopiesInBf16RoundLikeTheCpus) {
  const std::vector<float> values = floats(100'003, 4);
  const at::Tensor host = at::empty({static_cast<std::int64_t>(values.size())}, at::kFloat);
  std::copy(values.begin(), values.end(), host.mutable_data_ptr<float>());
  const at::Tensor there = upload(values).to(at::kBFloat16).to(at::kFloat);
  EXPECT_TRUE(at::equal(there.cpu(), host.to(at::kBFloat16).to(at::kFloat)));
}

TEST(ChooseDevice, WithoutAGpuAutoIsTheCpuAndCudaSaysWhatIsMissing) {
  const std::string why = why_no_gpu();
  if (why.empty()) GTEST_SKIP() << "this box has a CUDA device";
  const auto automatic = choose_device("auto");
  ASSERT_TRUE(automatic);
  EXPECT_EQ(automatic->kind, DeviceKind::kCpu);
  const auto demanded = choose_device("cuda");
  ASSERT_FALSE(demanded);
  EXPECT_NE(demanded.error().message.find(why), std::string::npos) << demanded.error().message;
}

}  // namespace
}  // namespace coshard::shard
