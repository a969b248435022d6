// References that run in Python: where its libraries are there, their output as tensors by name.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "protocol/base/tensor_blob.h"
#include "shard/checkpoint/safetensors.h"

namespace coshard::test {

/// Whether `python` can import all of `modules` ("a, b").
inline bool python_has(const std::string& python, const std::string& modules) {
  const std::string command = python + " -c 'import " + modules + "' 2>/dev/null";
  return std::system(command.c_str()) == 0;
}

/// Runs `python script folder`, then opens the safetensors file that it left in `folder`.
inline Result<shard::SafetensorsFile> run_reference(const std::string& python,
                                                    const std::string& script,
                                                    const std::filesystem::path& folder,
                                                    const std::string& output) {
  const std::string command = python + " " + script + " " + folder.string();
  if (std::system(command.c_str()) != 0)
    return fail(ErrorCode::kInternal, "the reference failed: " + command);
  return shard::SafetensorsFile::open(folder / output);
}

inline std::vector<float> floats(const TensorBlob& blob) {
  std::vector<float> values(blob.view().size() / sizeof(float));
  std::memcpy(values.data(), blob.view().data(), blob.view().size());
  return values;
}

/// Empty where there is no such tensor.
inline std::vector<float> floats(const shard::SafetensorsFile& file, const std::string& name) {
  const auto entry = file.find(name);
  std::vector<float> values(entry ? (*entry)->elements() : 0);
  if (entry && !file.read_floats(**entry, 0, values)) values.clear();
  return values;
}

/// Largest error relative to the largest expected value; infinite for other sizes.
inline double largest_error(const std::vector<float>& found, const std::vector<float>& expected) {
  if (found.size() != expected.size() || expected.empty()) return HUGE_VAL;
  double error = 0, largest = 1e-30;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double difference = std::abs(static_cast<double>(found[i]) - expected[i]);
    error = std::isnan(difference) ? HUGE_VAL : std::max(error, difference);
    largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
  }
  return error / largest;
}

/// "[1,2,3]"
inline std::string json_list(const std::vector<std::int32_t>& values) {
  std::string text = "[";
  for (std::size_t i = 0; i < values.size(); ++i)
    text += (i == 0 ? "" : ",") + std::to_string(values[i]);
  return text + "]";
}

}  // namespace coshard::test
