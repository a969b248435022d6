// Every message between its plain form (base/messages.h) and its Protobuf bytes, with every range
// check: the only reader of a peer's message bytes. Pure; any thread. The bytes are fixed by
// control.proto and data.proto; what may be said when, by protocol/README.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "protocol/base/messages.h"

namespace coshard::wire {

/// What a body is. The numbers are part of the wire format: never reused, never renumbered.
enum class MessageKind : std::uint8_t {
  kJoinRequest = 1,
  kHeartbeat = 2,
  kMicrobatchPull = 3,
  kUnitReport = 4,
  kUnitRefused = 5,
  kAverageReport = 6,
  kUpdateReport = 7,
  kCheckpointReport = 8,
  kWorkBatchSubmission = 9,
  kPeerComplaint = 10,
  kLeaveNotice = 11,
  kWelcome = 12,
  kRefused = 13,
  kMembershipTable = 14,
  kStepOpen = 15,
  kMicrobatchGrant = 16,
  kUnitAck = 17,
  kStageClosed = 18,
  kCommit = 19,
  kRoundEnd = 20,
  kSlotGrant = 21,
  kForwardTensor = 22,
  kBackwardTensor = 23,
  kGradientChunk = 24,
  kAveragedChunk = 25,
  kReceiptWindow = 26,
  kReceiptCountersigned = 27,
  kReaderList = 28,
  kStateAsk = 29,
  kStatePiece = 30,
  kStateRefused = 31,
  kHoldings = 32,
  kRepairTaken = 33,
  kRepairOrders = 34,
  kStateOffer = 35,
  kAverageAsk = 36,
  kSealOrder = 37,
  kKeepOrder = 38,
  kShardSealed = 39,
  kShardReturn = 40,
};
inline constexpr std::size_t kMessageKinds = std::variant_size_v<Message>;

/// The kind of a message.
MessageKind kind_of(const Message& message);
/// The kind of a number from the wire; nothing for a number outside the list.
std::optional<MessageKind> to_kind(std::uint32_t number);
/// "UnitReport", as in messages.h.
std::string_view name_of(MessageKind kind);

/// How many payload frames a kind carries, and how large each may be.
struct PayloadRule {
  std::size_t count_min = 0;
  std::size_t count_max = 0;
  std::size_t bytes_max = 0;
};
PayloadRule payload_rule(MessageKind kind);

/// The message's bytes. kInvalidArgument when a field is out of the range that decode() accepts:
/// what we would refuse, we do not say.
Result<Bytes> encode(const Message& message);

/// The message in `body`. kInvalidArgument naming the field, what was expected and what was found.
/// Checked before Protobuf sees a byte (prescan.h): unknown fields, repeated singular fields, wire
/// types, nesting, number of fields. An unknown field is refused rather than kept: peers of one
/// wire version say the same things, and the envelope names the version. Losses and
/// squared norms may be non-finite (that is news, which ends in a skipped step); a commit's scalars
/// may not.
Result<Message> decode(MessageKind kind, ByteView body);

/// Whether the payload sizes fit the message: number and size per kind, and for an unencoded or
/// bf16 tensor exactly product(shape) times the item size. kInvalidArgument otherwise.
Result<void> check_payload_sizes(const Message& message, std::span<const std::uint64_t> sizes);

}  // namespace coshard::wire
