// Any bytes as a safetensors file: refused, or a header whose every tensor can be read within the
// file.
// SPDX-License-Identifier: Apache-2.0
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "protocol/base/check.h"
#include "shard/checkpoint/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace coshard;
  // A file without a disk; its name is a link, as the names of open files are.
  static const int file = ::memfd_create("fuzz", 0);
  static const std::string path = "/proc/self/fd/" + std::to_string(file);
  COSHARD_CHECK(::ftruncate(file, 0) == 0);
  COSHARD_CHECK_OP(::pwrite(file, bytes, size, 0), ==, static_cast<ssize_t>(size));
  const auto opened = shard::SafetensorsFile::open(path, shard::Symlinks::kFollow);
  if (!opened) return 0;
  std::uint64_t total = 0;
  for (const shard::TensorEntry& tensor : opened->tensors()) {
    COSHARD_CHECK(element_count(tensor.shape) == tensor.elements());
    std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
    const auto read = opened->read_floats(tensor, 0, values);
    COSHARD_CHECK(read || read.error().code == ErrorCode::kInvalidArgument);
    total += tensor.bytes();
  }
  COSHARD_CHECK_OP(total, <=, size);
  return 0;
}
