// SPDX-License-Identifier: Apache-2.0
#include "tests/support/bad_frames.h"

#include "crypto/domains.h"
#include "crypto/hash.h"
#include "crypto/signed_payload.h"
#include "protocol/base/check.h"
#include "protocol/base/limits.h"
#include "protocol/base/rng.h"
#include "tests/support/wire_writer.h"

namespace coshard::test {

namespace {

using coshard::testing::WireWriter;

/// Beyond every number that the honest sender reaches in a test, within the replay window.
constexpr std::uint64_t kSequenceAhead = limits::kReplayWindow - 500;

struct Descriptor {
  std::uint64_t size = 0;
  Hash sha256{};
};

/// A header with any field as one likes (envelope.proto).
struct Forgery {
  std::uint32_t version = wire::kWireVersion;
  wire::EnvelopeHeader header;
  std::uint32_t kind = 0;
  Bytes body;
  std::vector<Descriptor> descriptors;
  std::vector<SharedBytes> payloads;

  Bytes encoded() const {
    WireWriter out;
    out.number(1, version);
    out.bytes(2, header.network.view()).bytes(3, header.sender.view());
    out.bytes(4, header.receiver.view());
    if (header.incarnation.value != 0) out.number(5, header.incarnation.value);
    if (header.generation.value != 0) out.number(6, header.generation.value);
    out.number(7, header.sequence).number(8, kind).bytes(9, body);
    for (const Descriptor& payload : descriptors)
      out.bytes(10, WireWriter().number(1, payload.size).bytes(2, payload.sha256));
    return to_bytes(out.view());
  }
  wire::Frame signed_by(const crypto::Identity& signer) const {
    wire::Frame frame;
    frame.header = encoded();
    frame.payloads = payloads;
    frame.signature = crypto::sign_payload(signer.operating(), crypto::domains::kEnvelope,
                                           header.network, frame.header);
    return frame;
  }
};

Forgery forge(const Letter& letter) {
  Forgery forgery;
  forgery.header = letter.header;
  forgery.header.sequence += kSequenceAhead;
  forgery.kind = static_cast<std::uint32_t>(wire::kind_of(letter.message));
  forgery.body = wire::encode(letter.message).value();
  for (const wire::Payload& payload : letter.payloads) {
    forgery.descriptors.push_back({payload.bytes->size(), payload.hash});
    forgery.payloads.push_back(payload.bytes);
  }
  return forgery;
}

SharedBytes flipped(const SharedBytes& bytes) {
  Bytes copy = *bytes;
  copy.at(copy.size() / 2) ^= 4;
  return share(std::move(copy));
}

SharedBytes shortened(const SharedBytes& bytes, std::size_t by) {
  return share(Bytes(bytes->begin(), bytes->end() - static_cast<std::ptrdiff_t>(by)));
}

void add_misshapen(const wire::Frame& honest, std::vector<BadFrame>& bad) {
  const auto with = [&](const std::function<void(wire::Frame&)>& change, const char* reason) {
    wire::Frame frame = honest;
    change(frame);
    bad.push_back({reason, std::move(frame)});
  };
  with([](wire::Frame& f) { f.header.clear(); }, "size");
  with([](wire::Frame& f) { f.header.resize(f.header.size() / 2); }, "malformed");
  with([](wire::Frame& f) { f.header.assign(200, 0xff); }, "malformed");
  with([](wire::Frame& f) { f.header.resize(limits::kHeaderBytesMax + 1); }, "frame");
  with([](wire::Frame& f) { f.payloads.assign(limits::kPayloadsMax + 1, share(Bytes(10))); },
       "frame");
  with([](wire::Frame& f) { f.signature = {}; }, "signature");
  with([](wire::Frame& f) { f.signature[7] ^= 1; }, "signature");
  with([](wire::Frame& f) { f.payloads.push_back(share(Bytes(10))); }, "replay");
  for (std::uint64_t seed = 0; seed < 3; ++seed)
    with(
        [&](wire::Frame& f) {
          const auto chance = philox(17, seed, 0);
          f.header.at(chance[0] % f.header.size()) ^=
              static_cast<std::uint8_t>(1U << chance[1] % 8);
        },
        "");
  with([](wire::Frame&) {}, "replay");
  with([](wire::Frame&) {}, "replay");
}

}  // namespace

Letter read_letter(const wire::Frame& frame) {
  const auto peeked = wire::peek(frame).value();
  wire::SenderState sender;
  sender.incarnation = peeked.header.incarnation;
  wire::RefusalCounters ignored;
  auto opened = wire::open(frame,
                           {.network = std::nullopt,
                            .receiver = peeked.header.receiver,
                            .channel_peer = std::nullopt,
                            .join_allowed = true,
                            .sender = [&](const NodeId&) { return &sender; }},
                           ignored);
  COSHARD_CHECK_OP(opened ? "" : opened.error().message, ==, "");
  return {opened->header, std::move(opened->message), std::move(opened->payloads)};
}

wire::Frame rewritten(const crypto::Identity& self, const Letter& honest, const Message& message,
                      const std::vector<wire::Payload>& payloads) {
  return wire::seal(self.operating(), honest.header, message, payloads).value();
}

std::vector<BadFrame> bad_envelopes(const crypto::Identity& self, const wire::Frame& honest) {
  std::vector<BadFrame> bad;
  add_misshapen(honest, bad);
  const Letter letter = read_letter(honest);
  const crypto::Identity other = crypto::Identity::generate();
  const auto with = [&](const std::function<void(Forgery&)>& change, const char* reason,
                        const crypto::Identity& signer) {
    Forgery forgery = forge(letter);
    change(forgery);
    bad.push_back({reason, forgery.signed_by(signer)});
  };
  with([](Forgery& f) { ++f.version; }, "version", self);
  with([](Forgery& f) { f.header.network.bytes[0] ^= 1; }, "network", self);
  with([&](Forgery& f) { f.header.receiver = other.node(); }, "receiver", self);
  with([&](Forgery& f) { f.header.sender = other.node(); }, "sender", other);
  with([](Forgery&) {}, "signature", other);
  with([](Forgery& f) { f.header.incarnation = Incarnation(f.header.incarnation.value + 1); },
       "incarnation", self);
  with([](Forgery& f) { f.header.incarnation = Incarnation(0); }, "incarnation", self);
  with([](Forgery& f) { f.header.sequence = 0; }, "replay", self);
  with([](Forgery& f) { f.kind = 250; }, "malformed", self);
  with([](Forgery& f) { f.body.assign(64, 0xff); }, "body", self);
  // A hundred thousand empty messages in one: small to send, large to hold.
  with([](Forgery& f) { f.body.assign(50'000, 0x0a); }, "body", self);
  with([](Forgery& f) { f.payloads.push_back(share(Bytes(10))); }, "payload_size", self);
  return bad;
}

std::vector<BadFrame> bad_tensors(const crypto::Identity& self, const wire::Frame& honest) {
  std::vector<BadFrame> bad;
  const Letter letter = read_letter(honest);
  const auto with = [&](const std::function<void(Forgery&)>& change, const char* reason) {
    Forgery forgery = forge(letter);
    change(forgery);
    bad.push_back({reason, forgery.signed_by(self)});
  };
  const auto say = [&](const std::function<void(Unit&, TensorHeader&)>& change) {
    Message message = letter.message;
    if (auto* forward = std::get_if<ForwardTensor>(&message))
      change(forward->unit, forward->tensor);
    else
      change(std::get<BackwardTensor>(message).unit, std::get<BackwardTensor>(message).tensor);
    return wire::encode(message).value();
  };
  with([](Forgery& f) { f.payloads[0] = flipped(f.payloads[0]); }, "payload_hash");
  with([](Forgery& f) { f.descriptors[0].sha256[5] ^= 1; }, "payload_hash");
  with([](Forgery& f) { f.payloads[0] = shortened(f.payloads[0], 4); }, "payload_size");
  with([](Forgery& f) { f.payloads.clear(); }, "payload_size");
  with([](Forgery& f) { f.descriptors[0].size = std::uint64_t{1} << 60; }, "payload_size");
  with(
      [](Forgery& f) {
        f.payloads[0] = shortened(f.payloads[0], 4);
        f.descriptors[0] = {f.payloads[0]->size(), crypto::sha256(*f.payloads[0])};
      },
      "body");
  // A shape of four gigabytes over the bytes of a small tensor.
  with(
      [&](Forgery& f) {
        f.body = say([](Unit&, TensorHeader& t) { t.shape = {1024, 1024, 1024}; });
      },
      "body");
  with(
      [&](Forgery& f) {
        f.body =
            say([](Unit& unit, TensorHeader&) { unit.stage = StageIndex(unit.stage.value + 5); });
      },
      "breach");
  return bad;
}

std::vector<BadFrame> unsigned_frames(const wire::Frame& honest, std::size_t count) {
  wire::Frame frame = honest;
  frame.signature = {};
  return std::vector<BadFrame>(count, BadFrame{"signature", frame});
}

}  // namespace coshard::test
