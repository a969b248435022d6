// What nvcc made of the kernels: the PTX, compiled with the module's own flags, is read for any
// instruction that would round differently from the CPU.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

namespace {

using Instructions = std::map<std::string, int>;

/// Opcodes and how often they stand there, for example {"mul.rn.f32", 8}.
Instructions instructions_of(std::istream& ptx) {
  Instructions out;
  for (std::string line; std::getline(ptx, line);) {
    std::istringstream words(line);
    std::string opcode;
    words >> opcode;
    if (opcode.starts_with('@')) words >> opcode;  // A predicate stands before the opcode.
    if (opcode.find('.') == std::string::npos || opcode.starts_with('.')) continue;
    if (opcode.ends_with(';')) opcode.pop_back();
    ++out[opcode];
  }
  return out;
}

Instructions floating_point(const Instructions& all) {
  Instructions out;
  for (const auto& [opcode, times] : all) {
    const bool moves = opcode.starts_with("ld.") || opcode.starts_with("st.") ||
                       opcode.starts_with("mov.") || opcode.starts_with("cvta.");
    const bool floats =
        opcode.find(".f32") != std::string::npos || opcode.find(".f64") != std::string::npos;
    if (floats && !moves) out[opcode] = times;
  }
  return out;
}

/// Why the CPU could not give the same bits, or nothing.
std::string deviation(const Instructions& all) {
  for (const auto& [opcode, times] : all) {
    const auto has = [&](const char* part) { return opcode.find(part) != std::string::npos; };
    if ((opcode.starts_with("fma.") || opcode.starts_with("mad.")) && has(".f32")) return opcode;
    if (has(".approx") || has(".ftz") || has(".full")) return opcode;
  }
  return "";
}

TEST(PtxReader, FindsWhatItIsThereToFind) {
  const auto read = [](const char* text) {
    std::istringstream in(text);
    return deviation(instructions_of(in));
  };
  EXPECT_EQ(read("\tmul.rn.f32 \t%f1, %f2, %f3;\n\tsqrt.rn.f32 %f4, %f1;\n"), "");
  EXPECT_EQ(read("\tfma.rn.f64 %fd1, %fd2, %fd3, %fd1;\n"), "");
  EXPECT_EQ(read("\tfma.rn.f32 %f1, %f2, %f3, %f4;\n"), "fma.rn.f32");
  EXPECT_EQ(read("@%p1 mul.ftz.f32 %f1, %f2, %f3;\n"), "mul.ftz.f32");
  EXPECT_EQ(read("\tdiv.approx.f32 %f1, %f2, %f3;\n"), "div.approx.f32");
  std::istringstream in("ld.global.f32 %f1, [%rd1];\nmul.rn.f32 %f2, %f1, %f1;\nadd.s64 %a, %b;\n");
  EXPECT_EQ(floating_point(instructions_of(in)), (Instructions{{"mul.rn.f32", 1}}));
}

#ifdef COSHARD_PTX_FILES

Instructions kernel(const std::string& name) {
  std::istringstream files(COSHARD_PTX_FILES);
  for (std::string file; std::getline(files, file, ':');) {
    if (std::filesystem::path(file).filename().string().rfind(name + '.', 0) != 0) continue;
    std::ifstream in(file);
    return instructions_of(in);
  }
  ADD_FAILURE() << "there is no PTX of " << name << " among " << COSHARD_PTX_FILES;
  return {};
}

TEST(Ptx, NoKernelContractsApproximatesOrFlushes) {
  for (const char* name : {"adamw", "fingerprint", "reduce", "squared_norm"}) {
    const Instructions all = kernel(name);
    EXPECT_GT(all.size(), 10U) << name;
    EXPECT_EQ(deviation(all), "") << name;
  }
}

TEST(Ptx, AdamwIsExactlyTheOperationsOfTheContract) {
  // Counted in protocol/base/commit_scalars.h.
  EXPECT_EQ(floating_point(kernel("adamw")), (Instructions{{"add.rn.f32", 3},
                                                           {"sub.rn.f32", 1},
                                                           {"mul.rn.f32", 8},
                                                           {"div.rn.f32", 2},
                                                           {"sqrt.rn.f32", 1}}));
}

TEST(Ptx, FingerprintsAreIntegersAlone) {
  EXPECT_EQ(floating_point(kernel("fingerprint")), Instructions{});
}

TEST(Ptx, NormLoadsManyTurnsAhead) { EXPECT_GE(kernel("squared_norm")["ld.global.f32"], 32); }

TEST(Ptx, ReductionAddsAndScalesInFp32Alone) {
  for (const auto& [opcode, times] : floating_point(kernel("reduce")))
    EXPECT_TRUE(opcode == "add.rn.f32" || opcode == "mul.rn.f32") << opcode;
}

#else

TEST(Ptx, NoKernelContractsApproximatesOrFlushes) {
  GTEST_SKIP() << "this build has no CUDA module (-DCOSHARD_CUDA=OFF)";
}

#endif

}  // namespace
