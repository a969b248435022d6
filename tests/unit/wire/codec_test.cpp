// Every message there and back, every range from both sides, and bytes written by hand.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/wire/codec.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>

#include "tests/support/allocation_meter.h"
#include "tests/support/random_message.h"
#include "tests/support/wire_writer.h"

namespace coshard::wire {
namespace {

using coshard::testing::peak_allocation;
using coshard::testing::RandomMessage;
using coshard::testing::WireWriter;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::string refusal(MessageKind kind, const WireWriter& body) {
  const auto message = decode(kind, body.view());
  EXPECT_FALSE(message) << "was accepted";
  if (message) return "";
  EXPECT_EQ(message.error().code, ErrorCode::kInvalidArgument);
  return message.error().message;
}
std::string refusal(const Message& message) {
  const auto bytes = encode(message);
  EXPECT_FALSE(bytes) << "was encoded";
  return bytes ? "" : bytes.error().message;
}

RC_GTEST_PROP(Codec, RoundTrip, (std::uint64_t seed)) {
  RandomMessage random(seed);
  for (std::size_t index = 0; index < RandomMessage::kAlternatives; ++index) {
    const Message message = random.of(index);
    const auto bytes = encode(message);
    RC_ASSERT(bytes.has_value());
    const auto back = decode(kind_of(message), *bytes);
    RC_ASSERT(back.has_value());
    RC_ASSERT(*back == message);
    RC_ASSERT(encode(*back).value() == *bytes);
  }
}

// A damaged body is refused or says something that we could have said.
RC_GTEST_PROP(Codec, DamagedBodiesAreRefusedOrSound, (std::uint64_t seed)) {
  RandomMessage random(seed);
  Rng rng(seed, 1);
  const Message message = random.any();
  Bytes bytes = encode(message).value();
  if (bytes.empty()) return;
  if (rng.below(3) == 0) bytes.resize(rng.below(bytes.size()));
  for (std::uint64_t flips = rng.below(4); flips > 0 && !bytes.empty(); --flips) {
    bytes[rng.below(bytes.size())] ^= static_cast<std::uint8_t>(1u << rng.below(8));
  }
  const auto kind = to_kind(static_cast<std::uint32_t>(1 + rng.below(kMessageKinds)));
  for (const MessageKind as : {kind_of(message), *kind}) {
    const auto decoded = decode(as, bytes);
    if (decoded) RC_ASSERT(encode(*decoded).has_value());
  }
}

TEST(Codec, TheBytesAreProtobufs) {
  EXPECT_EQ(to_hex(encode(SlotGrant{300, 0, {}}).value()), "08ac02");
  EXPECT_EQ(to_hex(encode(SlotGrant{}).value()), "");
  EXPECT_EQ(to_hex(encode(LeaveNotice{"bye"}).value()), "0a03627965");
  const UnitReport report{StepId(7), StageIndex(1), {{MicrobatchIndex(3), Attempt(2), 1024, 1.5}}};
  WireWriter unit;
  unit.number(1, 3).number(2, 2).number(3, 1024).fixed64(4, 1.5);
  WireWriter expected;
  expected.number(1, 7).number(2, 1).bytes(3, unit);
  EXPECT_EQ(encode(report).value(), to_bytes(expected.view()));
  EXPECT_EQ(std::get<UnitReport>(decode(MessageKind::kUnitReport, expected.view()).value()),
            report);
  WireWriter packed;
  packed.varint(0).varint(5).varint(300);
  WireWriter ack;
  ack.number(1, 9).bytes(3, packed);
  const UnitAck acked{
      StepId(9), StageIndex(0), {MicrobatchIndex(0), MicrobatchIndex(5), MicrobatchIndex(300)}};
  EXPECT_EQ(encode(acked).value(), to_bytes(ack.view()));
}

TEST(Codec, KindsAndNamesAreInStep) {
  RandomMessage random(1);
  for (std::size_t index = 0; index < RandomMessage::kAlternatives; ++index) {
    EXPECT_EQ(static_cast<std::size_t>(kind_of(random.of(index))), index + 1);
  }
  EXPECT_EQ(name_of(MessageKind::kJoinRequest), "JoinRequest");
  EXPECT_EQ(name_of(MessageKind::kStateOffer), "StateOffer");
  EXPECT_FALSE(to_kind(0));
  EXPECT_FALSE(to_kind(41));
  EXPECT_EQ(to_kind(31), MessageKind::kStateRefused);
  EXPECT_EQ(to_kind(35), MessageKind::kStateOffer);
}

TEST(Codec, WhatIsSaidOfEveryMicrobatchFitsAHeader) {
  const Hop far{NodeId{{0xff}}, Attempt(limits::kAttemptsMax)};
  Holdings holdings{StepId(limits::kStepsMax), MembershipEpoch(~0ULL), StageIndex(0), true, {}};
  RepairOrders orders{StepId(limits::kStepsMax), MembershipEpoch(~0ULL), {}};
  UnitReport report{StepId(limits::kStepsMax), StageIndex(0), {}};
  for (std::uint32_t m = 0; m < limits::kMicrobatchesMax; ++m) {
    const MicrobatchIndex microbatch(m);
    holdings.units.push_back(
        {microbatch, far.attempt, UnitProgress::kDone, true, true, true, true, far, far});
    orders.tasks.push_back({microbatch, far.attempt, Redo::kCount, far, far, true, true});
    report.units.push_back({microbatch, far.attempt, limits::kTokensPerStepMax, -1.5});
  }
  for (const Message& message : {Message(holdings), Message(orders), Message(report)}) {
    const auto body = encode(message);
    ASSERT_TRUE(body) << body.error().message;
    EXPECT_LT(body->size() + 1024, limits::kHeaderBytesMax) << name_of(kind_of(message));
  }
}

TEST(Codec, RangesHoldBothWays) {
  EXPECT_NE(refusal(StepOpen{StepId(limits::kStepsMax + 1), {}}).find("StepOpen.step"),
            std::string::npos);
  EXPECT_NE(refusal(UnitAck{{}, StageIndex(256), {}}).find("UnitAck.stage is 256"),
            std::string::npos);
  EXPECT_NE(refusal(MessageKind::kUnitAck, WireWriter().number(2, 256)).find("at most 255"),
            std::string::npos);
  refusal(MessageKind::kStepOpen, WireWriter().number(1, limits::kStepsMax + 1));
  refusal(MessageKind::kMicrobatchPull, WireWriter().number(2, limits::kMicrobatchesMax + 1));
  refusal(MessageKind::kHeartbeat, WireWriter().number(2, 5));                       // activity
  refusal(MessageKind::kRefused, WireWriter().number(1, 10));                        // code
  refusal(MessageKind::kRoundEnd, WireWriter().number(1, 5));                        // reason
  refusal(MessageKind::kWelcome, WireWriter().number(2, limits::kReplicasMax));      // replica
  refusal(MessageKind::kHeartbeat, WireWriter().number(3, std::uint64_t{1} << 40));  // over u32
  refusal(MessageKind::kUpdateReport, WireWriter().bytes(3, Bytes(15)));             // digest
  refusal(MessageKind::kUpdateReport, WireWriter().bytes(3, Bytes(17)));
  refusal(MessageKind::kUpdateReport, WireWriter());  // no digest
  refusal(MessageKind::kPeerComplaint, WireWriter().bytes(1, Bytes(31)));
  refusal(MessageKind::kGradientChunk, WireWriter().number(4, limits::kListItemsMax));
}

TEST(Codec, NumbersThatMayAndMayNotBeFinite) {
  const UnitReport lost{StepId(1), {}, {{MicrobatchIndex(0), {}, 1, kNan}}};
  const auto back = decode(MessageKind::kUnitReport, encode(lost).value());
  EXPECT_TRUE(std::isnan(std::get<UnitReport>(back.value()).units[0].loss_sum));
  EXPECT_TRUE(encode(AverageReport{{}, {}, {}, {}, {1.0, kNan, HUGE_VAL}}));
  EXPECT_NE(refusal(AverageReport{{}, {}, {}, {}, {-1.0}}).find("negative"), std::string::npos);
  EXPECT_NE(refusal(AveragedChunk{{}, {}, {}, {}, -HUGE_VAL}).find("negative"), std::string::npos);
  Commit commit;
  commit.scalars.step_size = std::numeric_limits<float>::infinity();
  EXPECT_NE(refusal(commit).find("CommitScalars.step_size is not finite"), std::string::npos);
  WireWriter scalars;
  scalars.fixed32(10, std::numeric_limits<float>::quiet_NaN()).bytes(13, Bytes(16));
  refusal(MessageKind::kCommit, WireWriter().bytes(1, scalars));
}

TEST(Codec, ListsThatMustAscendOrDiffer) {
  refusal(UnitReport{{}, {}, {{MicrobatchIndex(1), {}, 0, 0}, {MicrobatchIndex(1), {}, 0, 0}}});
  refusal(MicrobatchGrant{{}, 0, {{MicrobatchIndex(2), {}}, {MicrobatchIndex(1), {}}}});
  refusal(UnitAck{{}, {}, {MicrobatchIndex(2), MicrobatchIndex(2)}});
  WireWriter unit;
  unit.number(1, 4);
  refusal(MessageKind::kUnitReport, WireWriter().bytes(3, unit).bytes(3, unit));
  Member member;
  refusal(MembershipTable{{}, {member, member}});
  const NodeId a{{1}}, b{{2}};
  StageClosed closed{{}, {}, {}, 0, {{a, {MicrobatchIndex(0)}}, {b, {MicrobatchIndex(1)}}}, {a, b}};
  EXPECT_TRUE(encode(closed));
  closed.contributions[1].microbatches = {MicrobatchIndex(0)};
  EXPECT_NE(refusal(closed).find("counts a microbatch twice"), std::string::npos);
  closed.contributions[1] = {a, {MicrobatchIndex(1)}};
  EXPECT_NE(refusal(closed).find("contributor twice"), std::string::npos);
  refusal(StageClosed{{}, {}, {}, 0, {}, {}});
  refusal(StageClosed{{}, {}, {}, 0, {}, {a, a}});
}

TEST(Codec, E3_TensorHeadersThatLie) {  // ledger.md E3, T17
  const auto header = [](std::uint64_t dtype, std::initializer_list<std::uint64_t> shape) {
    WireWriter dimensions;
    for (const std::uint64_t dimension : shape) dimensions.varint(dimension);
    WireWriter tensor;
    tensor.number(1, dtype).bytes(3, dimensions);
    return WireWriter().bytes(1, WireWriter()).bytes(2, tensor);
  };
  EXPECT_TRUE(decode(MessageKind::kForwardTensor, header(1, {2, 3}).view()));
  refusal(MessageKind::kForwardTensor, header(0, {2, 3}));
  refusal(MessageKind::kForwardTensor, header(8, {2, 3}));
  refusal(MessageKind::kForwardTensor, header(1, {0, 3}));
  refusal(MessageKind::kForwardTensor, header(1, {1ULL << 32, 1ULL << 32}));
  refusal(MessageKind::kForwardTensor, header(1, {1ULL << 31, 2}));
  refusal(MessageKind::kForwardTensor, header(1, {~0ULL, ~0ULL}));
  refusal(MessageKind::kForwardTensor, header(1, {1, 1, 1, 1, 1}));
}

TEST(Codec, StateIsAskedAndSentInPieces) {
  const StageIndex stage(1);
  const StatePiece last{StepId(20), stage, 10, 12};
  WireWriter written;
  written.number(1, 20).number(2, 1).number(3, 10).number(4, 12);
  EXPECT_EQ(encode(last).value(), to_bytes(written.view()));
  EXPECT_TRUE(check_payload_sizes(last, std::vector<std::uint64_t>{2}));
  EXPECT_FALSE(check_payload_sizes(last, std::vector<std::uint64_t>{3}));  // behind the end
  EXPECT_FALSE(check_payload_sizes(last, std::vector<std::uint64_t>{0}));
  EXPECT_FALSE(check_payload_sizes(last, std::vector<std::uint64_t>{}));
  const StatePiece large{StepId(20), stage, 0, std::uint64_t{1} << 40};
  EXPECT_TRUE(check_payload_sizes(large, std::vector<std::uint64_t>{limits::kStatePieceBytes}));
  EXPECT_FALSE(
      check_payload_sizes(large, std::vector<std::uint64_t>{limits::kStatePieceBytes + 1}));
  refusal(StatePiece{StepId(20), stage, 12, 12});
  refusal(MessageKind::kStatePiece, WireWriter().number(3, ~0ULL).number(4, ~0ULL));
  refusal(StateAsk{StepId(20), stage, 0, 0});
  refusal(StateAsk{StepId(20), stage, 0, limits::kStatePieceBytes + 1});
  const Reader reader{NodeId{Hash{1}}, Incarnation(1), {}};
  refusal(ReaderList{{reader, reader}});
  refusal(ReaderList{std::vector<Reader>(limits::kReadersMax + 1)});
  refusal(ReaderList{{{NodeId{}, {}, Bytes(1000)}}});
}

TEST(Codec, PayloadSizesFitTheMessage) {
  const TensorHeader tensor{DType::kF32, BoundaryEncoding::kNone, {2, 3}};
  const auto ok = [](const Message& message, std::vector<std::uint64_t> sizes) {
    return check_payload_sizes(message, sizes).has_value();
  };
  EXPECT_TRUE(ok(ForwardTensor{{}, tensor}, {24}));
  EXPECT_FALSE(ok(ForwardTensor{{}, tensor}, {23}));
  EXPECT_FALSE(ok(ForwardTensor{{}, tensor}, {}));
  EXPECT_FALSE(ok(ForwardTensor{{}, tensor}, {24, 24}));
  const TensorHeader half{DType::kF32, BoundaryEncoding::kBF16, {2, 3}};
  EXPECT_TRUE(ok(BackwardTensor{{}, half, 0}, {12}));
  EXPECT_FALSE(ok(BackwardTensor{{}, half, 0}, {24}));
  EXPECT_TRUE(ok(GradientChunk{}, {4}));
  EXPECT_FALSE(ok(GradientChunk{}, {0}));
  EXPECT_FALSE(ok(GradientChunk{}, {6}));
  EXPECT_FALSE(ok(GradientChunk{}, {limits::kChunkElements * 4 + 4}));
  EXPECT_FALSE(ok(Heartbeat{}, {1}));
  EXPECT_TRUE(ok(Welcome{}, {1, 1}));
  EXPECT_TRUE(ok(Welcome{}, {1, 1, 1}));
  EXPECT_FALSE(ok(Welcome{}, {1}));
  EXPECT_FALSE(ok(ReceiptWindow{}, {limits::kControlPayloadBytesMax + 1}));
}

TEST(Codec, TextIsFitForATerminal) {
  EXPECT_EQ(
      std::get<LeaveNotice>(decode(MessageKind::kLeaveNotice,
                                   encode(LeaveNotice{"a\nb\x1b[31m \xff \xc2\x9b é"}).value())
                                .value())
          .reason,
      "a b [31m ?   é");
  for (const char* text : {"\x1b[31m", "a\nb", "\xff", "\xc2\x9b", "\xed\xa0\x80", "\xc0\x80"}) {
    refusal(MessageKind::kLeaveNotice, WireWriter().bytes(1, as_bytes(text)));
  }
  const std::string long_text(limits::kTextBytesMax + 1, 'a');
  refusal(MessageKind::kLeaveNotice, WireWriter().bytes(1, as_bytes(long_text)));
  const auto cut = decode(MessageKind::kLeaveNotice, encode(LeaveNotice{long_text}).value());
  EXPECT_EQ(std::get<LeaveNotice>(cut.value()).reason.size(), limits::kTextBytesMax);
}

TEST(Codec, OneFormOnly) {  // ledger.md 4.2: four encodings of one value
  EXPECT_TRUE(decode(MessageKind::kStepOpen, WireWriter().number(1, 5).view()));
  refusal(MessageKind::kStepOpen, WireWriter().number(1, 5).number(1, 5));  // repeated
  refusal(MessageKind::kStepOpen, WireWriter().raw({0x08, 0x85, 0x00}));    // non-minimal
  refusal(MessageKind::kStepOpen, WireWriter().number(1, 5).number(3, 1));  // unknown field
  refusal(MessageKind::kStepOpen, WireWriter().number(1, 5).number(99, 1));
  refusal(MessageKind::kStepOpen, WireWriter().fixed64(1, 5));  // wire type
  refusal(MessageKind::kStepOpen, WireWriter().tag(1, 3));      // group
  refusal(MessageKind::kUnitAck, WireWriter().number(3, 1));    // not packed
  refusal(MessageKind::kStepOpen, WireWriter().tag(0, 0).varint(1));
}

// ledger.md T14 and E1: what costs the sender little costs us little.
TEST(Codec, E1_BombsAreRefusedBeforeTheyGrow) {
  WireWriter wide;  // 64 KiB of 2-byte empty submessages
  while (wide.view().size() + 2 <= limits::kHeaderBytesMax) wide.raw({0x1A, 0x00});
  WireWriter keys;
  while (keys.view().size() + 2 <= limits::kHeaderBytesMax) keys.raw({0x32, 0x00});
  WireWriter packed;
  packed.tag(3, 2).varint(limits::kHeaderBytesMax - 4);
  while (packed.view().size() < limits::kHeaderBytesMax) packed.raw({0x00});
  WireWriter unknown;
  while (unknown.view().size() + 2 <= limits::kHeaderBytesMax) unknown.raw({0x7A, 0x00});
  WireWriter deep;  // 100 levels of field 1
  for (int level = 0; level < 100; ++level) deep = WireWriter().bytes(1, deep);
  const Bytes long_body(limits::kHeaderBytesMax + 1);
  EXPECT_FALSE(decode(MessageKind::kSlotGrant, WireWriter().number(1, 1).view().first(1)));
  static_cast<void>(encode(SlotGrant{}));  // Protobuf's own tables are made once
  const std::size_t peak = peak_allocation([&] {
    EXPECT_FALSE(decode(MessageKind::kUnitReport, wide.view()));
    EXPECT_FALSE(decode(MessageKind::kStageClosed, keys.view()));
    EXPECT_FALSE(decode(MessageKind::kUnitAck, packed.view()));
    EXPECT_FALSE(decode(MessageKind::kStepOpen, unknown.view()));
    EXPECT_FALSE(decode(MessageKind::kCommit, deep.view()));
    EXPECT_FALSE(decode(MessageKind::kUnitAck, long_body));
  });
  EXPECT_LT(peak, 16 * limits::kHeaderBytesMax);
}

TEST(Codec, E2_LengthsThatLie) {  // ledger.md E2
  for (const std::uint64_t length :
       {std::uint64_t{5}, std::uint64_t{1} << 31, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
    refusal(MessageKind::kLeaveNotice, WireWriter().tag(1, 2).varint(length).raw({'a', 'b'}));
  }
  refusal(MessageKind::kStepOpen, WireWriter().raw({0x08}));
  refusal(MessageKind::kStepOpen, WireWriter().raw({0x08, 0xFF}));
  refusal(MessageKind::kStepOpen,
          WireWriter().raw({0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1}));
}

}  // namespace
}  // namespace coshard::wire
