// The opening of a channel, both ends, on any sequence of hellos. Input: hellos, each behind one
// byte of length; a first byte of flags says which end hears them and whether the client is
// registered.
// Nobody proves himself without a key.
// SPDX-License-Identifier: Apache-2.0
#include "crypto/identity.h"
#include "protocol/base/check.h"
#include "protocol/transport/channel.h"

namespace {

template <class End>
void hear(End& end, coshard::ByteView input) {
  while (!input.empty()) {
    const std::size_t length = std::min<std::size_t>(input[0], input.size() - 1);
    const auto step = end.on(input.subspan(1, length));
    if (!step) return;
    COSHARD_CHECK(!step->proved);
    COSHARD_CHECK_OP(step->reply.size(), <=, coshard::transport::kHelloBytesMax);
    input = input.subspan(1 + length);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coshard;
  if (size == 0) return 0;
  static const crypto::Identity self = crypto::Identity::generate();
  static const crypto::Identity peer = crypto::Identity::generate();
  const ByteView hellos(data + 1, size - 1);
  const transport::ChannelNonce nonce{7};
  if ((data[0] & 1) != 0) {
    transport::ChannelClient client(self, peer.node(), peer.curve().public_key(), nonce);
    hear(client, hellos);
  } else {
    const auto registered = (data[0] & 2) != 0 ? std::optional<NodeId>(peer.node()) : std::nullopt;
    transport::ChannelServer server(self, peer.curve().public_key(), registered, nonce);
    hear(server, hellos);
  }
  return 0;
}
