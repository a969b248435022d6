// What a hostile peer with a valid identity can put on a connection in place of a sound frame, and
// the reason for which each must be refused. Written by hand: seal() refuses to. Pure.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "crypto/identity.h"
#include "protocol/wire/envelope.h"

namespace coshard::test {

/// A frame and the name under which its receiver counts it (Courier::refusals). Empty: one of the
/// envelope's reasons, which one is chance.
struct BadFrame {
  std::string reason;
  wire::Frame frame;
};

/// An envelope as its author reads it: no check but the signature.
struct Letter {
  wire::EnvelopeHeader header;
  Message message;
  std::vector<wire::Payload> payloads;
};
Letter read_letter(const wire::Frame& frame);

/// `message` in place of what `honest` says: the same sequence number, a true signature.
wire::Frame rewritten(const crypto::Identity& self, const Letter& honest, const Message& message,
                      const std::vector<wire::Payload>& payloads);

/// Truncated, oversized, bit-flipped, unsigned, wrongly signed, replayed, of a foreign network, to
/// or from somebody else, of a wrong incarnation or version, with a false body. All but the replay
/// of `honest` itself are made anew, with the keys of `self`, who sent `honest`.
std::vector<BadFrame> bad_envelopes(const crypto::Identity& self, const wire::Frame& honest);

/// Tensors with a false hash, size or shape, and one that is not the receiver's. `honest` carries
/// a boundary tensor.
std::vector<BadFrame> bad_tensors(const crypto::Identity& self, const wire::Frame& honest);

/// What every receiver takes as its sender's own breach; `count` of them.
std::vector<BadFrame> unsigned_frames(const wire::Frame& honest, std::size_t count);

}  // namespace coshard::test
