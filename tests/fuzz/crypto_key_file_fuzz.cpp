// Any bytes as a key file: refused without asking for memory that the limits do not allow. Files
// that ask for real work are passed over, to keep the fuzzer fast.
// SPDX-License-Identifier: Apache-2.0
#include <cstdint>

#include "crypto/secret_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace coshard;
  const ByteView view(bytes, size);
  constexpr std::size_t kMemoryAt = 18;
  const bool is_costly = size > kMemoryAt + 8 &&
                         get_be<std::uint64_t>(view.subspan(kMemoryAt)) > 65'536 &&
                         get_be<std::uint64_t>(view.subspan(kMemoryAt)) <= (1u << 30);
  if (is_costly) return 0;
  if (const auto secret = crypto::open_secret(view, "passphrase")) {
    (void)crypto::Identity::decode_secret(secret->view()).has_value();
  }
  (void)crypto::open_secret(view, std::nullopt).has_value();
  if (const auto certificate = crypto::NodeCertificate::decode(view)) {
    (void)certificate->verify().has_value();
  }
  return 0;
}
