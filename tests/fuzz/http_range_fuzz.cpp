// Any bytes as a Range header: one range has one unit, one dash and no comma.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>

#include "node/http_range.h"
#include "protocol/base/bytes.h"
#include "protocol/base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace coshard;
  const std::string_view text = as_text({bytes, size});
  if (!node::is_one_range(text)) return 0;
  COSHARD_CHECK(text.starts_with("bytes=") && text.size() <= 6 + 18 + 1 + 18);
  COSHARD_CHECK(std::ranges::count(text, '-') == 1 && std::ranges::count(text, ',') == 0);
  return 0;
}
