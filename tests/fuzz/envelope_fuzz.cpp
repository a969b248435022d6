// wire::open() and peek() on any bytes. Input: one byte of flags, u16le length of the header,
// header, one payload. With flag 1 the header is signed here, so that what lies behind the
// signature is
// reached as well.
// SPDX-License-Identifier: Apache-2.0
#include "crypto/signed_payload.h"
#include "protocol/base/check.h"
#include "protocol/wire/envelope.h"
#include "tests/fuzz/fuzz_keys.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coshard;
  if (size < 3) return 0;
  const ByteView input(data, size);
  const std::size_t header_bytes =
      std::min<std::size_t>(get_le<std::uint16_t>(input.subspan(1)), size - 3);
  wire::Frame frame;
  frame.header = to_bytes(input.subspan(3, header_bytes));
  if (size > 3 + header_bytes) {
    frame.payloads.push_back(share(to_bytes(input.subspan(3 + header_bytes))));
  }
  static const crypto::KeyPair keys = fuzz::sender_keys();
  if ((data[0] & 1) != 0) {
    frame.signature =
        crypto::sign_payload(keys, crypto::domains::kEnvelope, fuzz::kNetwork, frame.header);
  }
  wire::SenderState state;
  state.incarnation = Incarnation(1);
  const NodeId sender{keys.public_key()};
  wire::OpenPolicy policy;
  policy.network = fuzz::kNetwork;
  policy.receiver = fuzz::kReceiver;
  policy.join_allowed = (data[0] & 2) != 0;
  policy.sender = [&](const NodeId& id) { return id == sender ? &state : nullptr; };
  wire::RefusalCounters counters;
  const auto opened = wire::open(frame, policy, counters);
  COSHARD_CHECK_OP(counters.total(), ==, opened ? 0u : 1u);
  const auto peeked = wire::peek(frame);
  if (!opened) return 0;
  COSHARD_CHECK(peeked && peeked->header == opened->header);
  COSHARD_CHECK(wire::encode(opened->message).has_value());
  // Once is enough: the same frame again is a replay, unless it asks to join.
  const bool again = wire::open(frame, policy, counters).has_value();
  COSHARD_CHECK_OP(again, ==, opened->header.incarnation == Incarnation(0));
  return 0;
}
