// Every way in which a frame can be wrong: refused, counted under its own reason, and the sender's
// next honest frame passes.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/wire/envelope.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>

#include "crypto/hash.h"
#include "crypto/identity.h"
#include "crypto/signed_payload.h"
#include "tests/support/allocation_meter.h"
#include "tests/support/random_message.h"
#include "tests/support/wire_writer.h"

namespace coshard::wire {
namespace {

using coshard::testing::peak_allocation;
using coshard::testing::RandomMessage;
using coshard::testing::WireWriter;
using crypto::KeyPair;

const NetworkId kNetwork{{42}};

const TensorHeader kTensor{DType::kF32, BoundaryEncoding::kNone, {2, 3}};

// The header of Envelope::tensor_frame(), field by field, written without Protobuf.
struct HeaderFields {
  std::uint64_t version = 1;
  Bytes network = to_bytes(kNetwork.view());
  Bytes sender, receiver;
  std::uint64_t incarnation = 3, generation = 1, sequence = 0;
  std::uint64_t kind = static_cast<std::uint64_t>(MessageKind::kForwardTensor);
  Bytes body = encode_body(kTensor);
  std::size_t payloads = 1;
  std::uint64_t payload_size = 24;
  Bytes payload_hash;

  static Bytes encode_body(const TensorHeader& tensor) {
    return wire::encode(ForwardTensor{Unit{StepId(1), {}, {}, {}}, tensor}).value();
  }
  Bytes encode() const {
    WireWriter header;
    header.number(1, version).bytes(2, network).bytes(3, sender).bytes(4, receiver);
    header.number(5, incarnation).number(6, generation).number(7, sequence);
    header.number(8, kind).bytes(9, body);
    WireWriter payload;
    payload.number(1, payload_size).bytes(2, payload_hash);
    for (std::size_t i = 0; i < payloads; ++i) header.bytes(10, payload);
    return to_bytes(header.view());
  }
};

class Envelope : public ::testing::Test {
 protected:
  Envelope() {
    state_.incarnation = Incarnation(3);
    policy_.network = kNetwork;
    policy_.receiver = receiver_;
    policy_.channel_peer = sender_;
    policy_.sender = [this](const NodeId& id) { return id == sender_ ? &state_ : nullptr; };
  }

  EnvelopeHeader header() {
    return {kNetwork, sender_, receiver_, Incarnation(3), Generation(1), ++sequence_};
  }
  Frame tensor_frame() {
    const Payload payload = hashed(share(Bytes(24, 7)));
    const ForwardTensor message{Unit{StepId(1), {}, {}, {}}, kTensor};
    return seal(keys_, header(), message, {&payload, 1}).value();
  }
  Frame heartbeat(const EnvelopeHeader& as) { return seal(keys_, as, Heartbeat{}).value(); }

  /// A frame with a header of the attacker's making, properly signed.
  template <class Change>
  Frame forged(Change change) {
    Frame frame = tensor_frame();
    HeaderFields fields;
    fields.sender = to_bytes(sender_.view());
    fields.receiver = to_bytes(receiver_.view());
    fields.sequence = sequence_;
    fields.payload_hash = to_bytes(crypto::sha256(*frame.payloads[0]));
    EXPECT_EQ(fields.encode(), frame.header);  // honest so far, byte for byte
    change(fields);
    frame.header = fields.encode();
    return signed_again(std::move(frame));
  }
  Frame signed_again(Frame frame) {
    frame.signature = sign_payload(keys_, crypto::domains::kEnvelope, kNetwork, frame.header);
    return frame;
  }

  void expect_refused(const Frame& frame, RefusalReason reason, ErrorCode code) {
    const RefusalCounters before = counters_;
    const auto opened = open(frame, policy_, counters_);
    ASSERT_FALSE(opened) << "was accepted";
    EXPECT_EQ(opened.error().code, code) << opened.error().message;
    EXPECT_EQ(counters_[reason], before[reason] + 1) << opened.error().message;
    EXPECT_EQ(counters_.total(), before.total() + 1);
    EXPECT_NE(opened.error().message.find(to_string(reason)), std::string::npos);
    // The channel goes on.
    EXPECT_TRUE(open(tensor_frame(), policy_, counters_));
    EXPECT_EQ(counters_.total(), before.total() + 1);
  }

  const KeyPair keys_ = KeyPair::generate();
  const NodeId sender_{keys_.public_key()};
  const NodeId receiver_{{9}};
  std::uint64_t sequence_ = 0;
  SenderState state_;
  OpenPolicy policy_;
  RefusalCounters counters_;
};

TEST_F(Envelope, OpensWhatWasSealedAndSharesThePayload) {
  const SharedBytes bytes = share(Bytes(24, 7));
  const Payload payload = hashed(bytes);
  const EnvelopeHeader sent = header();
  const ForwardTensor message{Unit{StepId(1), MicrobatchIndex(2), {}, {}},
                              {DType::kF32, BoundaryEncoding::kNone, {2, 3}}};
  const auto frame = seal(keys_, sent, message, {&payload, 1});
  ASSERT_TRUE(frame) << frame.error().message;
  EXPECT_EQ(frame->payloads[0].get(), bytes.get());
  const auto opened = open(*frame, policy_, counters_);
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(opened->header, sent);
  EXPECT_EQ(std::get<ForwardTensor>(opened->message), message);
  EXPECT_EQ(opened->payloads[0].bytes.get(), bytes.get());
  EXPECT_EQ(opened->payloads[0].hash, crypto::sha256(*bytes));
  EXPECT_EQ(counters_.total(), 0u);
  EXPECT_EQ(state_.replay.newest(), sent.sequence);
}

TEST_F(Envelope, SealingAndOpeningCopyNoPayload) {
  const SharedBytes bytes = share(Bytes(std::size_t{1} << 20, 3));
  const TensorHeader tensor{DType::kU8, BoundaryEncoding::kNone, {1 << 20}};
  const std::size_t peak = peak_allocation([&] {
    const Payload payload = hashed(bytes);
    const auto frame = seal(keys_, header(), ForwardTensor{{}, tensor}, {&payload, 1});
    ASSERT_TRUE(open(*frame, policy_, counters_));
  });
  EXPECT_LT(peak, bytes->size() / 8);
}

TEST_F(Envelope, RefusesSizes) {
  Frame frame = tensor_frame();
  frame.header.clear();
  expect_refused(frame, RefusalReason::kSize, ErrorCode::kInvalidArgument);
  frame.header.resize(limits::kHeaderBytesMax + 1);
  expect_refused(frame, RefusalReason::kSize, ErrorCode::kInvalidArgument);
  frame = tensor_frame();
  frame.payloads.resize(limits::kPayloadsMax + 1, share({}));
  expect_refused(frame, RefusalReason::kSize, ErrorCode::kInvalidArgument);
  frame.payloads = {nullptr};
  expect_refused(frame, RefusalReason::kSize, ErrorCode::kInvalidArgument);
}

TEST_F(Envelope, RefusesMalformedHeaders) {
  const auto refuse = [&](const Frame& frame) {
    expect_refused(frame, RefusalReason::kMalformed, ErrorCode::kInvalidArgument);
  };
  Frame frame = tensor_frame();
  frame.header.resize(frame.header.size() - 1);
  refuse(signed_again(frame));
  refuse(forged([](auto& fields) { fields.kind = 0; }));
  refuse(forged([](auto& fields) { fields.kind = kMessageKinds + 1; }));
  refuse(forged([](auto& fields) { fields.network = Bytes(5); }));
  refuse(forged([](auto& fields) { fields.receiver = Bytes(33); }));
  refuse(forged([](auto& fields) { fields.payload_hash = Bytes(1); }));
  refuse(forged([](auto& fields) { fields.payloads = 5; }));
  frame = tensor_frame();
  append(frame.header, WireWriter().number(60, 1).view());  // unknown field
  refuse(signed_again(frame));
  frame = tensor_frame();
  append(frame.header, WireWriter().number(1, 1).view());  // version twice
  refuse(signed_again(frame));
}

TEST_F(Envelope, RefusesAnotherVersionNetworkReceiverAndSender) {
  expect_refused(forged([](auto& fields) { fields.version = 2; }), RefusalReason::kVersion,
                 ErrorCode::kInvalidArgument);
  EnvelopeHeader foreign = header();
  foreign.network = NetworkId{{43}};
  expect_refused(heartbeat(foreign), RefusalReason::kNetwork, ErrorCode::kPermissionDenied);
  foreign = header();
  foreign.receiver = NodeId{{10}};
  expect_refused(heartbeat(foreign), RefusalReason::kReceiver, ErrorCode::kPermissionDenied);
  // Over another member's channel, and from nobody's.
  const KeyPair other = KeyPair::generate();
  foreign = header();
  foreign.sender = NodeId{other.public_key()};
  const Frame from_other = seal(other, foreign, Heartbeat{}).value();
  expect_refused(from_other, RefusalReason::kSender, ErrorCode::kPermissionDenied);
  policy_.channel_peer.reset();
  expect_refused(from_other, RefusalReason::kSender, ErrorCode::kPermissionDenied);
}

TEST_F(Envelope, RefusesFalseSignatures) {
  const auto refuse = [&](const Frame& frame) {
    expect_refused(frame, RefusalReason::kSignature, ErrorCode::kPermissionDenied);
  };
  Frame frame = tensor_frame();
  frame.signature[5] ^= 1;
  refuse(frame);
  frame.signature.fill(0);  // unsigned
  refuse(frame);
  frame = forged([](auto& fields) { fields.sequence = 999; });
  frame.signature = tensor_frame().signature;  // of other bytes
  refuse(frame);
  frame = tensor_frame();  // B1: a signature with another meaning
  frame.signature = sign_payload(keys_, crypto::domains::kCommit, kNetwork, frame.header);
  refuse(frame);
  frame = tensor_frame();  // B2: for another network
  frame.signature = sign_payload(keys_, crypto::domains::kEnvelope, NetworkId{{43}}, frame.header);
  refuse(frame);
}

TEST_F(Envelope, RefusesEndedAndUnannouncedIncarnations) {
  for (const std::uint64_t incarnation : {0U, 2U, 4U}) {
    EnvelopeHeader sent = header();
    sent.incarnation = Incarnation(incarnation);
    expect_refused(heartbeat(sent), RefusalReason::kIncarnation, ErrorCode::kFailedPrecondition);
  }
}

TEST_F(Envelope, ACoordinatorAnnouncesItsOwnRestart) {
  state_.newer_incarnation_allowed = true;
  state_.generation_min = Generation(1);
  ASSERT_TRUE(open(heartbeat(header()), policy_, counters_));
  EnvelopeHeader restarted = header();
  restarted.incarnation = Incarnation(4);
  restarted.generation = Generation(2);
  restarted.sequence = 1;  // counts from the beginning
  ASSERT_TRUE(open(heartbeat(restarted), policy_, counters_));
  EXPECT_EQ(state_.incarnation, Incarnation(4));
  EXPECT_FALSE(open(heartbeat(header()), policy_, counters_));  // the one before
  EXPECT_EQ(counters_[RefusalReason::kIncarnation], 1u);
  restarted.sequence = 2;
  restarted.generation = Generation(1);
  EXPECT_FALSE(open(heartbeat(restarted), policy_, counters_));
  EXPECT_EQ(counters_[RefusalReason::kGeneration], 1u);
  restarted.generation = Generation(2);
  EXPECT_TRUE(open(heartbeat(restarted), policy_, counters_));
}

TEST_F(Envelope, RefusesReplays) {
  const Frame first = tensor_frame();
  ASSERT_TRUE(open(first, policy_, counters_));
  expect_refused(first, RefusalReason::kReplay, ErrorCode::kPermissionDenied);
  EnvelopeHeader none = header();
  none.sequence = 0;
  expect_refused(heartbeat(none), RefusalReason::kReplay, ErrorCode::kPermissionDenied);
  const Frame late = tensor_frame();
  sequence_ += limits::kReplayWindow;
  ASSERT_TRUE(open(tensor_frame(), policy_, counters_));
  expect_refused(late, RefusalReason::kReplay, ErrorCode::kPermissionDenied);
}

TEST_F(Envelope, AcceptsOvertakingWithinTheWindow) {
  std::vector<Frame> frames;
  for (int i = 0; i < 10; ++i) frames.push_back(tensor_frame());
  for (std::size_t i = frames.size(); i-- > 0;) {
    EXPECT_TRUE(open(frames[i], policy_, counters_));
  }
  for (const Frame& frame : frames) EXPECT_FALSE(open(frame, policy_, counters_));
  EXPECT_EQ(counters_[RefusalReason::kReplay], frames.size());
}

TEST_F(Envelope, RefusesOtherPayloadsThanAnnounced) {
  const auto with = [&](std::vector<SharedBytes> payloads) {
    Frame frame = tensor_frame();
    frame.payloads = std::move(payloads);
    return frame;
  };
  Bytes flipped(24, 7);
  flipped[23] ^= 0x80;
  expect_refused(with({}), RefusalReason::kPayloadSize, ErrorCode::kCorruption);
  expect_refused(with({share(Bytes(23, 7))}), RefusalReason::kPayloadSize, ErrorCode::kCorruption);
  expect_refused(with({share(Bytes(25, 7))}), RefusalReason::kPayloadSize, ErrorCode::kCorruption);
  expect_refused(with({share(Bytes(24, 7)), share({})}), RefusalReason::kPayloadSize,
                 ErrorCode::kCorruption);
  expect_refused(with({share(flipped)}), RefusalReason::kPayloadHash, ErrorCode::kCorruption);
  expect_refused(forged([](auto& fields) { fields.payload_size = 1ULL << 63; }),
                 RefusalReason::kPayloadSize, ErrorCode::kCorruption);
}

TEST_F(Envelope, RefusesBodiesThatBreakARule) {
  const auto body = [&](const WireWriter& bytes) {
    return forged([&](auto& fields) { fields.body = to_bytes(bytes.view()); });
  };
  expect_refused(body(WireWriter().number(9, 1)), RefusalReason::kBody,
                 ErrorCode::kInvalidArgument);
  expect_refused(body(WireWriter()), RefusalReason::kBody, ErrorCode::kInvalidArgument);
  // An honest body of another kind, and a tensor of another shape than its payload.
  expect_refused(forged([](auto& fields) { fields.kind = 2; }), RefusalReason::kBody,
                 ErrorCode::kInvalidArgument);
  const TensorHeader larger{DType::kF32, BoundaryEncoding::kNone, {2, 4}};
  expect_refused(forged([&](auto& fields) { fields.body = HeaderFields::encode_body(larger); }),
                 RefusalReason::kBody, ErrorCode::kInvalidArgument);
}

TEST_F(Envelope, StrangersMayOnlyAskToJoin) {
  const crypto::Identity stranger = crypto::Identity::generate();
  const Payload certificate = hashed(share(stranger.certificate().encode()));
  EnvelopeHeader asking{crypto::kNoNetwork, stranger.node(), receiver_, Incarnation(0), {}, 1};
  const Frame join = seal(stranger.operating(), asking, JoinRequest{}, {&certificate, 1}).value();
  policy_.channel_peer = stranger.node();
  EXPECT_FALSE(open(join, policy_, counters_));  // not without being asked for
  EXPECT_EQ(counters_[RefusalReason::kNetwork], 1u);
  policy_.join_allowed = true;
  const auto opened = open(join, policy_, counters_);
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(*opened->payloads[0].bytes, stranger.certificate().encode());
  EXPECT_TRUE(open(join, policy_, counters_));  // asking twice does no harm

  asking.network = kNetwork;
  const Frame other = seal(stranger.operating(), asking, Heartbeat{}).value();
  EXPECT_FALSE(open(other, policy_, counters_));
  EXPECT_EQ(counters_[RefusalReason::kSender], 1u);
  Frame unsound = join;
  unsound.signature[0] ^= 1;
  EXPECT_FALSE(open(unsound, policy_, counters_));
  EXPECT_EQ(counters_[RefusalReason::kSignature], 1u);
  asking.incarnation = Incarnation(1);
  const Frame early = seal(stranger.operating(), asking, JoinRequest{}, {&certificate, 1}).value();
  EXPECT_FALSE(open(early, policy_, counters_));
  EXPECT_EQ(counters_[RefusalReason::kIncarnation], 1u);
}

TEST_F(Envelope, AWordIsProofOfWhatItsSenderSaid) {
  EnvelopeHeader said = header();
  said.generation = Generation(7);
  const Bytes word = word_of(heartbeat(said));
  const auto read = read_word(word, kNetwork, said.sender);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->header, said);
  EXPECT_TRUE(std::holds_alternative<Heartbeat>(read->message));
  EXPECT_FALSE(read_word(word, NetworkId{{1}}, said.sender));
  EXPECT_FALSE(read_word(word, kNetwork, receiver_));
  for (std::size_t size : {std::size_t{0}, std::size_t{64}, word.size() - 1})
    EXPECT_FALSE(read_word(ByteView(word).first(size), kNetwork, said.sender));
  for (const std::size_t at : {std::size_t{3}, word.size() - 1}) {
    Bytes forged = word;
    forged[at] ^= 1;
    EXPECT_FALSE(read_word(forged, kNetwork, said.sender)) << at;
  }
}

TEST_F(Envelope, WhoAsksToBeLetInSpeaksUnderNoIncarnation) {
  Sealer sealer(keys_, kNetwork, Incarnation(5), Generation(2));
  const Payload certificate = hashed(share(Bytes(3, 1)));
  const auto join = sealer.seal(receiver_, JoinRequest{}, {&certificate, 1});
  ASSERT_TRUE(join);
  EXPECT_EQ(peek(*join)->header.incarnation, Incarnation(0));
  EXPECT_EQ(peek(*sealer.seal(receiver_, Heartbeat{}))->header.incarnation, Incarnation(5));
}

TEST_F(Envelope, BeforeWelcomeAnyNetworkPassesAndIsTold) {
  policy_.network.reset();
  const auto opened = open(heartbeat(header()), policy_, counters_);
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->header.network, kNetwork);
}

TEST_F(Envelope, SealRefusesWhatOpenWouldRefuse) {
  EXPECT_EQ(seal(keys_, header(), Welcome{}).error().code, ErrorCode::kInvalidArgument);
  MembershipTable large;
  for (std::uint8_t i = 0; i < 250; ++i) {
    large.members.push_back(Member{NodeId{{i}}, {}, {}, {}, "tcp://192.0.2.1:1", Bytes(232)});
  }
  EXPECT_EQ(seal(keys_, header(), large).error().code, ErrorCode::kResourceExhausted);
}

TEST_F(Envelope, TheSealerNumbersPerReceiverAndIncarnation) {
  Sealer sealer(keys_, kNetwork, Incarnation(3));
  const auto sequence = [](const Frame& frame) { return peek(frame).value().header.sequence; };
  const NodeId other{{8}};
  EXPECT_EQ(sequence(sealer.seal(receiver_, Heartbeat{}).value()), 1u);
  EXPECT_EQ(sequence(sealer.seal(receiver_, Heartbeat{}).value()), 2u);
  EXPECT_EQ(sequence(sealer.seal(other, Heartbeat{}).value()), 1u);
  EXPECT_FALSE(sealer.seal(receiver_, Welcome{}));
  EXPECT_EQ(sequence(sealer.seal(receiver_, Heartbeat{}).value()), 3u);
  sealer.rebind(kNetwork, Incarnation(3), Generation(2));
  EXPECT_EQ(sequence(sealer.seal(receiver_, Heartbeat{}).value()), 4u);
  sealer.rebind(kNetwork, Incarnation(4), Generation(2));
  const Frame frame = sealer.seal(receiver_, Heartbeat{}).value();
  EXPECT_EQ(sequence(frame), 1u);
  EXPECT_EQ(peek(frame)->header.incarnation, Incarnation(4));
  EXPECT_EQ(peek(frame)->kind, MessageKind::kHeartbeat);
}

// Any single damaged bit anywhere is refused, without much memory, and nothing is remembered.
TEST_F(Envelope, EveryFlippedBitIsRefused) {
  const Frame good = tensor_frame();
  const std::size_t peak = peak_allocation([&] {
    for (std::size_t bit = 0; bit < good.header.size() * 8; ++bit) {
      Frame bad = good;
      bad.header[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
      ASSERT_FALSE(open(bad, policy_, counters_)) << "bit " << bit;
    }
  });
  EXPECT_LT(peak, 4 * limits::kHeaderBytesMax);
  for (std::size_t bit = 0; bit < good.signature.size() * 8; ++bit) {
    Frame bad = good;
    bad.signature[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    ASSERT_FALSE(open(bad, policy_, counters_)) << "signature bit " << bit;
  }
  for (std::size_t length = 0; length < good.header.size(); ++length) {
    Frame bad = good;
    bad.header.resize(length);
    ASSERT_FALSE(open(bad, policy_, counters_)) << length << " bytes";
  }
  EXPECT_EQ(counters_.total(), good.header.size() * 9 + good.signature.size() * 8);
  EXPECT_EQ(state_.replay.newest(), 0u);
  EXPECT_TRUE(open(good, policy_, counters_));
}

TEST_F(Envelope, E1_AHeaderFullOfEmptyPayloadsCostsLittle) {  // T14
  Frame bomb = tensor_frame();
  while (bomb.header.size() + 2 <= limits::kHeaderBytesMax) {
    append(bomb.header, Bytes{0x52, 0x00});
  }
  bomb = signed_again(std::move(bomb));
  const std::size_t peak = peak_allocation(
      [&] { expect_refused(bomb, RefusalReason::kMalformed, ErrorCode::kInvalidArgument); });
  EXPECT_LT(peak, 16 * limits::kHeaderBytesMax);
}

// Against the plainest memory there is: a set of everything seen.
RC_GTEST_PROP(ReplayWindow, AgreesWithASetOfAllNumbers, (std::uint64_t seed)) {
  Rng rng(seed);
  ReplayWindow window;
  std::set<std::uint64_t> seen;
  std::uint64_t newest = 0;
  for (int i = 0; i < 3000; ++i) {
    std::uint64_t next = 0;
    switch (rng.below(4)) {
      case 0:
        next = newest + 1 + rng.below(3);
        break;
      case 1:
        next = newest + rng.below(2 * limits::kReplayWindow);
        break;
      default:
        next = newest > 9000 ? newest - rng.below(9000) : rng.below(newest + 2);
    }
    const bool fresh = next > 0 && !seen.contains(next) &&
                       (next > newest || newest - next < limits::kReplayWindow);
    RC_ASSERT(window.accept(next) == fresh);
    if (fresh) seen.insert(next);
    newest = std::max(newest, fresh ? next : 0);
  }
}

}  // namespace
}  // namespace coshard::wire
