// The module as a file: it opens in a fresh process, answers on a box without a GPU, and needs no
// driver library to be loaded.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "shard/engine/device.h"
#include "tests/support/process.h"

namespace coshard::shard {
namespace {

#ifdef COSHARD_CUDA_MODULE

std::string run(const test::Path& program, const std::vector<std::string>& arguments) {
  const test::TempDir dir;
  test::ChildProcess child({program, arguments, dir / "out", {}, {}});
  const auto status = child.wait_exit(std::chrono::seconds(60));
  EXPECT_EQ(status, 0) << child.output();
  return child.output();
}

nlohmann::json probe(const std::vector<std::string>& libraries) {
  return nlohmann::json::parse(run(COSHARD_CUDA_PROBE, libraries));
}

TEST(CudaModule, OpensAndSaysWhichDevicesThereAre) {
  const nlohmann::json answer = probe({COSHARD_CUDA_MODULE});
  EXPECT_EQ(answer.at("abi"), kDeviceModuleAbi);
  const auto why = answer.at("why").get<std::string>();
  if (answer.at("devices") == 0) {
    EXPECT_EQ(why.rfind("no CUDA device was found: ", 0), 0U) << why;
    EXPECT_GT(why.size(), 30U) << "the driver's own words follow";
    EXPECT_EQ(answer.at("open"), why) << "opening a device that is not there is an error value";
  } else {
    EXPECT_EQ(why, "");
    EXPECT_NE(answer.at("open"), "");
  }
}

TEST(CudaModule, CostsLittleToOpenOnABoxWithoutADevice) {
  const nlohmann::json answer = probe({COSHARD_TORCH_CPU_LIBRARY, COSHARD_CUDA_MODULE});
  const auto& torch = answer.at("opened")[0];
  const auto& module = answer.at("opened")[1];
  std::printf("libtorch_cpu: %.0f ms, %.0f MiB; the CUDA module on top: %.0f ms, %.0f MiB\n",
              torch.at("ms").get<double>(), torch.at("mib").get<double>(),
              module.at("ms").get<double>(), module.at("mib").get<double>());
  if (answer.at("devices") != 0) GTEST_SKIP() << "the bound is for boxes without a GPU";
  // House-style 5 measured 235 MB. The bound finds a library that starts to initialise eagerly.
  EXPECT_LT(module.at("mib").get<double>(), 600);
}

TEST(CudaModule, LinksNoDriverLibrary) {
  const std::string dynamic = run(COSHARD_READELF, {"-d", COSHARD_CUDA_MODULE});
  EXPECT_NE(dynamic.find("libtorch_cuda.so"), std::string::npos) << dynamic;
  EXPECT_NE(dynamic.find("libnccl.so.2"), std::string::npos) << dynamic;
  EXPECT_EQ(dynamic.find("libcuda.so"), std::string::npos) << dynamic;
  EXPECT_EQ(dynamic.find("libnvidia-ml"), std::string::npos) << dynamic;
}

TEST(CudaModule, ExportsItsEntryAndNothingElseOfOurs) {
  const std::string symbols =
      run(COSHARD_READELF, {"--dyn-syms", "--wide", "--demangle", COSHARD_CUDA_MODULE});
  EXPECT_NE(symbols.find(kDeviceModuleSymbol), std::string::npos);
  EXPECT_EQ(symbols.find("coshard::"), std::string::npos) << symbols;
}

#else

TEST(CudaModule, OpensAndSaysWhichDevicesThereAre) {
  GTEST_SKIP() << "this build has no CUDA module (-DCOSHARD_CUDA=OFF)";
}

#endif

}  // namespace
}  // namespace coshard::shard
