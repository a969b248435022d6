// wire::decode() on any bytes: refused, or a message that we could have sent ourselves and that
// says
// the same again. Input: one byte of kind, then the body.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/base/check.h"
#include "protocol/wire/codec.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coshard;
  if (size == 0) return 0;
  const auto kind = wire::to_kind(1 + data[0] % wire::kMessageKinds);
  const auto message = wire::decode(*kind, ByteView(data + 1, size - 1));
  if (!message) return 0;
  COSHARD_CHECK(wire::kind_of(*message) == *kind);
  const auto bytes = wire::encode(*message);
  COSHARD_CHECK(bytes.has_value());
  const auto again = wire::decode(*kind, *bytes);
  // Compared as bytes: a loss may be NaN, which equals nothing.
  COSHARD_CHECK(again.has_value() && wire::encode(*again).value() == *bytes);
  return 0;
}
