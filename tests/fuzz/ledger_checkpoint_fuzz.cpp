// Any bytes as a checkpoint's text: refused, or exactly what writing it again gives.
// SPDX-License-Identifier: Apache-2.0
#include <cstdint>

#include "ledger/checkpoint.h"
#include "protocol/base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace coshard;
  const std::string_view text = as_text({bytes, size});
  if (const auto checkpoint = ledger::Checkpoint::parse(text)) {
    COSHARD_CHECK(checkpoint->text() == text);
  }
  return 0;
}
