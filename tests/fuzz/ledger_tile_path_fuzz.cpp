// Any text as the path of a tile: refused, or exactly the path that the tile writes; any bytes as a
// bundle.
// SPDX-License-Identifier: Apache-2.0
#include <cstdint>

#include "ledger/tiles.h"
#include "protocol/base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace coshard;
  const std::string_view text = as_text({bytes, size});
  if (const auto tile = ledger::TileId::parse(text)) COSHARD_CHECK(tile->path() == text);
  const std::uint64_t count = size == 0 ? 0 : bytes[0] % 4;
  if (const auto entries = ledger::decode_bundle({bytes, size}, count)) {
    COSHARD_CHECK(ledger::encode_bundle(*entries) == to_bytes({bytes, size}));
  }
  return 0;
}
