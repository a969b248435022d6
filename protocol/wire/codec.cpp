// SPDX-License-Identifier: Apache-2.0
#include "protocol/wire/codec.h"

#include <google/protobuf/arena.h>
#include <google/protobuf/message.h>

#include <array>
#include <exception>
#include <memory>

#include "crypto/identity.h"
#include "protocol/base/check.h"
#include "protocol/wire/codec_fields.h"
#include "protocol/wire/control.pb.h"
#include "protocol/wire/data.pb.h"
#include "protocol/wire/prescan.h"

namespace coshard::wire {
namespace {

using google::protobuf::Arena;
using Prototype = google::protobuf::Message;

constexpr std::size_t kControl = limits::kControlPayloadBytesMax;
constexpr std::size_t kTensor = limits::kPayloadBytesMax;
constexpr std::size_t kChunk = limits::kChunkElements * 4;
constexpr std::size_t kSignedWord = 2048;  // a commit with its signature takes a quarter of it
static_assert(crypto::NodeCertificate::kEncodedBytes <= kSignedWord);

// One line per kind, in the order of the numbers and of the Message variant.
struct Row {
  const Prototype& prototype;
  PayloadRule payloads;
};

const std::array<Row, kMessageKinds>& rows() {
  static const std::array<Row, kMessageKinds> kRows{{
      {proto::JoinRequest::default_instance(), {1, 3, kSignedWord}},
      {proto::Heartbeat::default_instance(), {}},
      {proto::MicrobatchPull::default_instance(), {}},
      {proto::UnitReport::default_instance(), {}},
      {proto::UnitRefused::default_instance(), {}},
      {proto::AverageReport::default_instance(), {}},
      {proto::UpdateReport::default_instance(), {}},
      {proto::CheckpointReport::default_instance(), {}},
      {proto::WorkBatchSubmission::default_instance(), {1, 1, kControl}},
      {proto::PeerComplaint::default_instance(), {}},
      {proto::LeaveNotice::default_instance(), {}},
      {proto::Welcome::default_instance(), {2, 3, kControl}},
      {proto::Refused::default_instance(), {}},
      {proto::MembershipTable::default_instance(), {}},
      {proto::StepOpen::default_instance(), {}},
      {proto::MicrobatchGrant::default_instance(), {}},
      {proto::UnitAck::default_instance(), {}},
      {proto::StageClosed::default_instance(), {}},
      {proto::Commit::default_instance(), {}},
      {proto::RoundEnd::default_instance(), {}},
      {proto::SlotGrant::default_instance(), {}},
      {proto::ForwardTensor::default_instance(), {1, 1, kTensor}},
      {proto::BackwardTensor::default_instance(), {1, 1, kTensor}},
      {proto::GradientChunk::default_instance(), {1, 1, kChunk}},
      {proto::AveragedChunk::default_instance(), {1, 1, kChunk}},
      {proto::ReceiptWindow::default_instance(), {1, 1, kControl}},
      {proto::ReceiptCountersigned::default_instance(), {0, 1, kControl}},
      {proto::ReaderList::default_instance(), {}},
      {proto::StateAsk::default_instance(), {}},
      {proto::StatePiece::default_instance(), {1, 1, limits::kStatePieceBytes}},
      {proto::StateRefused::default_instance(), {}},
      {proto::Holdings::default_instance(), {}},
      {proto::RepairTaken::default_instance(), {}},
      {proto::RepairOrders::default_instance(), {}},
      {proto::StateOffer::default_instance(), {}},
      {proto::AverageAsk::default_instance(), {}},
      {proto::SealOrder::default_instance(), {}},
      {proto::KeepOrder::default_instance(), {}},
      {proto::ShardSealed::default_instance(), {}},
      {proto::ShardReturn::default_instance(), {}},
  }};
  return kRows;
}

const Row& row(MessageKind kind) { return rows()[static_cast<std::size_t>(kind) - 1]; }

// The variant's alternatives and the numbers of the kinds run in step; spot checks at both ends and
// where the groups meet, the round trip test does the rest.
template <MessageKind kind, class T>
constexpr bool kInStep =
    std::is_same_v<std::variant_alternative_t<static_cast<std::size_t>(kind) - 1, Message>, T>;
static_assert(kMessageKinds == static_cast<std::size_t>(MessageKind::kShardReturn));
static_assert(kInStep<MessageKind::kJoinRequest, JoinRequest>);
static_assert(kInStep<MessageKind::kLeaveNotice, LeaveNotice>);
static_assert(kInStep<MessageKind::kWelcome, Welcome>);
static_assert(kInStep<MessageKind::kRoundEnd, RoundEnd>);
static_assert(kInStep<MessageKind::kSlotGrant, SlotGrant>);
static_assert(kInStep<MessageKind::kReceiptCountersigned, ReceiptCountersigned>);
static_assert(kInStep<MessageKind::kReaderList, ReaderList>);
static_assert(kInStep<MessageKind::kStateRefused, StateRefused>);
static_assert(kInStep<MessageKind::kRepairOrders, RepairOrders>);
static_assert(kInStep<MessageKind::kStateOffer, StateOffer>);
static_assert(kInStep<MessageKind::kAverageAsk, AverageAsk>);
static_assert(kInStep<MessageKind::kShardReturn, ShardReturn>);

template <std::size_t... index>
Message empty_message(std::size_t wanted, std::index_sequence<index...>) {
  Message message;
  (void)((index == wanted && (message.emplace<index>(), true)) || ...);
  return message;
}

// Writes to or reads from `fields`; the first broken rule, if any.
std::optional<Error> transfer(FieldIo::Direction direction, Message& message, Prototype& fields) {
  FieldIo io(direction, fields);
  std::visit([&](auto& alternative) { describe(io, alternative); }, message);
  io.finish();
  return std::move(io).take_error();
}

std::optional<std::uint64_t> exact_tensor_bytes(const TensorHeader& tensor) {
  switch (tensor.encoding) {
    case BoundaryEncoding::kNone:
      return dense_bytes(tensor.dtype, tensor.shape);
    case BoundaryEncoding::kBF16:
      return dense_bytes(DType::kBF16, tensor.shape);
    case BoundaryEncoding::kInt8:
    case BoundaryEncoding::kSubspace:
      break;  // the codec of that encoding knows
  }
  return std::nullopt;
}

tl::unexpected<Error> refuse_sizes(MessageKind kind, const std::string& expected,
                                   std::uint64_t found) {
  return fail(ErrorCode::kInvalidArgument, "payloads of " + std::string(name_of(kind)) +
                                               ": expected " + expected + ", found " +
                                               std::to_string(found));
}

}  // namespace

MessageKind kind_of(const Message& message) {
  COSHARD_CHECK(!message.valueless_by_exception());
  return static_cast<MessageKind>(message.index() + 1);
}

std::optional<MessageKind> to_kind(std::uint32_t number) {
  if (number == 0 || number > kMessageKinds) return std::nullopt;
  return static_cast<MessageKind>(number);
}

std::string_view name_of(MessageKind kind) { return row(kind).prototype.GetDescriptor()->name(); }

PayloadRule payload_rule(MessageKind kind) { return row(kind).payloads; }

Result<Bytes> encode(const Message& message) {
  Arena arena;
  Prototype& fields = *row(kind_of(message)).prototype.New(&arena);
  // Writing does not change the message: FieldIo serves both directions and so asks for more.
  auto error = transfer(FieldIo::Direction::kWrite, const_cast<Message&>(message), fields);
  if (error) return tl::unexpected(std::move(*error));
  Bytes bytes(fields.ByteSizeLong());
  fields.SerializeWithCachedSizesToArray(bytes.data());
  return bytes;
}

Result<Message> decode(MessageKind kind, ByteView body) {
  if (body.size() > limits::kHeaderBytesMax) {
    return fail(ErrorCode::kInvalidArgument,
                std::string(name_of(kind)) + " has " + std::to_string(body.size()) +
                    " bytes; expected at most " + std::to_string(limits::kHeaderBytesMax));
  }
  COSHARD_TRY(prescan(*row(kind).prototype.GetDescriptor(), body));
  Arena arena;
  Prototype& fields = *row(kind).prototype.New(&arena);
  if (!fields.ParseFromArray(body.data(), static_cast<int>(body.size()))) {
    return fail(ErrorCode::kInvalidArgument, std::string(name_of(kind)) + " does not parse");
  }
  Message message =
      empty_message(static_cast<std::size_t>(kind) - 1, std::make_index_sequence<kMessageKinds>());
  auto error = transfer(FieldIo::Direction::kRead, message, fields);
  if (error) return tl::unexpected(std::move(*error));
  return message;
}

Result<void> check_payload_sizes(const Message& message, std::span<const std::uint64_t> sizes) {
  const MessageKind kind = kind_of(message);
  const PayloadRule rule = payload_rule(kind);
  if (sizes.size() < rule.count_min || sizes.size() > rule.count_max) {
    return refuse_sizes(
        kind, std::to_string(rule.count_min) + " to " + std::to_string(rule.count_max) + " frames",
        sizes.size());
  }
  for (const std::uint64_t size : sizes) {
    if (size > rule.bytes_max) {
      return refuse_sizes(kind, "at most " + std::to_string(rule.bytes_max) + " bytes", size);
    }
  }
  std::optional<std::uint64_t> exact;
  if (const auto* forward = std::get_if<ForwardTensor>(&message)) {
    exact = exact_tensor_bytes(forward->tensor);
  } else if (const auto* backward = std::get_if<BackwardTensor>(&message)) {
    exact = exact_tensor_bytes(backward->tensor);
  }
  if (exact && sizes[0] != *exact) {
    return refuse_sizes(kind, std::to_string(*exact) + " bytes", sizes[0]);
  }
  if (const auto* piece = std::get_if<StatePiece>(&message);
      piece != nullptr && (sizes[0] == 0 || sizes[0] > piece->bytes_total - piece->offset)) {
    return refuse_sizes(
        kind, "1 to " + std::to_string(piece->bytes_total - piece->offset) + " bytes", sizes[0]);
  }
  const bool chunk = kind == MessageKind::kGradientChunk || kind == MessageKind::kAveragedChunk;
  if (chunk && (sizes[0] == 0 || sizes[0] % 4 != 0)) {
    return refuse_sizes(kind, "a positive multiple of 4 bytes", sizes[0]);
  }
  return {};
}

}  // namespace coshard::wire
