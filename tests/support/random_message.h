// Any message that the codec accepts, from a seed: for round trips, mutations, benchmarks and the
// fuzzers' corpus.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <limits>

#include "protocol/base/limits.h"
#include "protocol/base/messages.h"
#include "protocol/base/rng.h"

namespace coshard::testing {

class RandomMessage {
 public:
  explicit RandomMessage(std::uint64_t seed) : rng_(seed) {}

  /// A message of the alternative with this index.
  Message of(std::size_t index) { return pick(index, std::make_index_sequence<kAlternatives>()); }
  Message any() { return of(rng_.below(kAlternatives)); }
  static constexpr std::size_t kAlternatives = std::variant_size_v<Message>;

 private:
  template <std::size_t... index>
  Message pick(std::size_t wanted, std::index_sequence<index...>) {
    Message message;
    (void)((index == wanted &&
            (message = make(std::variant_alternative_t<index, Message>{}), true)) ||
           ...);
    return message;
  }

  // Both ends of a range are as likely as all that is between them.
  std::uint64_t up_to(std::uint64_t max) {
    switch (rng_.below(3)) {
      case 0:
        return 0;
      case 1:
        return max;
      default:
        return max == std::numeric_limits<std::uint64_t>::max() ? rng_() : rng_.below(max + 1);
    }
  }
  std::uint64_t any_number() { return up_to(std::numeric_limits<std::uint64_t>::max()); }
  template <class Id>
  Id id(std::uint64_t max = std::numeric_limits<std::uint64_t>::max()) {
    return Id(static_cast<typename Id::value_type>(up_to(max)));
  }
  StepId step() { return id<StepId>(limits::kStepsMax); }
  StageIndex stage() { return id<StageIndex>(limits::kStagesMax - 1); }
  Attempt attempt() { return id<Attempt>(limits::kAttemptsMax); }
  MicrobatchIndex microbatch() { return id<MicrobatchIndex>(limits::kMicrobatchesMax - 1); }
  template <class Array>
  Array array() {
    Array out;
    for (auto& byte : out) byte = static_cast<std::uint8_t>(rng_());
    return out;
  }
  NodeId node() { return NodeId{array<Hash>()}; }
  bool flag() { return rng_.below(2) == 1; }
  std::string text() {
    static constexpr const char* kTexts[] = {"", "tcp://192.0.2.7:4601", "Würde \u4e16\u754c",
                                             "no space left on device"};
    if (rng_.below(8) == 0) return std::string(limits::kTextBytesMax, 'x');
    return kTexts[rng_.below(4)];
  }
  double magnitude() {
    switch (rng_.below(4)) {
      case 0:
        return 0.0;
      case 1:
        return std::numeric_limits<double>::infinity();
      case 2:
        return std::numeric_limits<double>::denorm_min();
      default:
        return rng_.unit() * 1e12;
    }
  }
  float finite() { return static_cast<float>(rng_.unit() * 2 - 1); }
  template <class Make>
  auto several(std::size_t max, Make make) {
    std::vector<decltype(make())> out(static_cast<std::size_t>(rng_.below(max + 1)));
    for (auto& item : out) item = make();
    return out;
  }
  std::vector<MicrobatchIndex> ascending() {
    std::vector<MicrobatchIndex> out;
    for (std::uint64_t next = rng_.below(3); next < limits::kMicrobatchesMax && out.size() < 20;
         next += 1 + rng_.below(300)) {
      out.emplace_back(static_cast<std::uint32_t>(next));
    }
    return out;
  }
  Unit unit() { return {step(), microbatch(), stage(), attempt()}; }
  TensorHeader tensor() {
    TensorHeader header;
    header.dtype = static_cast<DType>(1 + rng_.below(7));
    header.encoding = static_cast<BoundaryEncoding>(rng_.below(4));
    header.shape = several(limits::kDimensionsMax - 1,
                           [&] { return static_cast<std::int64_t>(1 + rng_.below(40)); });
    header.shape.push_back(1);
    return header;
  }

  JoinRequest make(JoinRequest) {
    return {text(),
            text(),
            text(),
            any_number(),
            any_number(),
            several(5,
                    [&] {
                      return HeldCheckpoint{stage(), step(), array<Hash>()};
                    }),
            SeatClaim{id<Incarnation>(), step(), flag()},
            flag()};
  }
  Heartbeat make(Heartbeat) {
    return {step(),
            static_cast<NodeActivity>(rng_.below(5)),
            static_cast<std::uint32_t>(up_to(limits::kMicrobatchesMax)),
            any_number(),
            any_number(),
            any_number(),
            any_number()};
  }
  MicrobatchPull make(MicrobatchPull) {
    return {step(), static_cast<std::uint32_t>(up_to(limits::kMicrobatchesMax)), any_number()};
  }
  UnitReport make(UnitReport) {
    UnitReport report{step(), stage(), {}};
    for (const MicrobatchIndex index : ascending()) {
      report.units.push_back({index, attempt(), up_to(limits::kTokensPerStepMax), -magnitude()});
    }
    return report;
  }
  UnitRefused make(UnitRefused) {
    return {unit(), node(), text(), static_cast<UnitFault>(rng_.below(4))};
  }
  AverageReport make(AverageReport) {
    return {step(), stage(), attempt(), array<Hash>(), several(50, [&] { return magnitude(); })};
  }
  UpdateReport make(UpdateReport) { return {step(), stage(), array<Fingerprint>()}; }
  CheckpointReport make(CheckpointReport) {
    return {step(), stage(), array<Hash>(), any_number(), text()};
  }
  WorkBatchSubmission make(WorkBatchSubmission) {
    return {id<LedgerEpoch>(limits::kStepsMax), stage()};
  }
  PeerComplaint make(PeerComplaint) { return {node(), step(), text()}; }
  LeaveNotice make(LeaveNotice) { return {text()}; }
  Welcome make(Welcome) {
    return {stage(),
            id<ReplicaIndex>(limits::kReplicasMax - 1),
            id<Incarnation>(),
            id<MembershipEpoch>(),
            step(),
            array<Hash>(),
            text(),
            flag(),
            flag()};
  }
  Refused make(Refused) { return {static_cast<ErrorCode>(rng_.below(10)), text()}; }
  MembershipTable make(MembershipTable) {
    return {id<MembershipEpoch>(), several(8, [&] {
              return Member{node(),
                            stage(),
                            id<ReplicaIndex>(limits::kReplicasMax - 1),
                            id<Incarnation>(),
                            text(),
                            Bytes(up_to(232), 7),
                            flag()};
            })};
  }
  StepOpen make(StepOpen) { return {step(), id<MembershipEpoch>()}; }
  MicrobatchGrant make(MicrobatchGrant) {
    MicrobatchGrant grant{step(), any_number(), {}};
    for (const MicrobatchIndex index : ascending()) {
      grant.microbatches.push_back({index, attempt()});
    }
    return grant;
  }
  UnitAck make(UnitAck) { return {step(), stage(), ascending()}; }
  StageClosed make(StageClosed) {
    StageClosed closed{step(), stage(), attempt(), up_to(limits::kTokensPerStepMax), {}, {node()}};
    for (const MicrobatchIndex index : ascending()) {
      if (closed.contributions.empty() || flag()) closed.contributions.push_back({node(), {}});
      closed.contributions.back().microbatches.push_back(index);
    }
    for (const Contribution& part : closed.contributions) closed.reducers.push_back(part.node);
    if (flag()) closed.joiners.push_back(node());
    if (flag()) closed.holders.push_back(node());
    return closed;
  }
  ShardFile shard_file() { return {step(), stage(), array<Hash>(), any_number()}; }
  StateOffer make(StateOffer) { return {shard_file()}; }
  SealOrder make(SealOrder) { return {step(), stage(), array<SealKey>()}; }
  KeepOrder make(KeepOrder) { return {shard_file(), node()}; }
  ShardSealed make(ShardSealed) { return {shard_file(), text()}; }
  ShardReturn make(ShardReturn) { return {shard_file(), node(), array<SealKey>(), array<Hash>()}; }
  Commit make(Commit) {
    CommitScalars scalars;
    scalars.step = step();
    scalars.learning_rate = finite();
    scalars.decay_factor = finite();
    scalars.clip_factor = finite();
    scalars.skip = flag();
    scalars.fingerprint_key = array<Fingerprint>();
    return {scalars, flag(), flag(), id<LedgerEpoch>(limits::kStepsMax)};
  }
  RoundEnd make(RoundEnd) {
    return {static_cast<EndReason>(rng_.below(5)), step(), flag(), text(), flag()};
  }
  SlotGrant make(SlotGrant) { return {any_number(), any_number(), id<Incarnation>()}; }
  Hop hop() { return {node(), attempt()}; }
  HeldUnit held_unit() {
    return {microbatch(),
            attempt(),
            static_cast<UnitProgress>(rng_.below(8)),
            flag(),
            flag(),
            flag(),
            flag(),
            hop(),
            hop(),
            id<StepId>(limits::kTokensPerStepMax).value,
            rng_.unit(),
            flag(),
            flag(),
            static_cast<UnitFault>(rng_.below(4)),
            flag()};
  }
  Holdings make(Holdings) {
    return {step(),
            id<MembershipEpoch>(),
            stage(),
            flag(),
            several(50, [&] { return held_unit(); }),
            attempt(),
            flag(),
            any_number()};
  }
  RepairTaken make(RepairTaken) { return {step(), id<MembershipEpoch>()}; }
  RepairOrders make(RepairOrders) {
    const auto task = [&] {
      return RepairTask{microbatch(), attempt(), static_cast<Redo>(rng_.below(4)),
                        hop(),        hop(),     flag(),
                        flag(),       flag(),    flag()};
    };
    return {step(), id<MembershipEpoch>(), several(50, task)};
  }
  ForwardTensor make(ForwardTensor) { return {unit(), tensor(), flag()}; }
  BackwardTensor make(BackwardTensor) { return {unit(), tensor(), any_number()}; }
  GradientChunk make(GradientChunk) {
    return {step(), stage(), attempt(), id<ChunkIndex>(limits::kListItemsMax - 1)};
  }
  AveragedChunk make(AveragedChunk) {
    return {step(), stage(), attempt(), id<ChunkIndex>(limits::kListItemsMax - 1), magnitude()};
  }
  AverageAsk make(AverageAsk) {
    AverageAsk ask{step(), stage(), attempt(), {}};
    for (std::uint64_t chunk = up_to(9); chunk > 0; --chunk)
      ask.chunks.push_back(ChunkIndex(static_cast<std::uint32_t>(10 - chunk)));
    if (ask.chunks.empty()) ask.chunks.push_back(ChunkIndex(limits::kListItemsMax - 1));
    return ask;
  }
  ReceiptWindow make(ReceiptWindow) { return {any_number()}; }
  ReceiptCountersigned make(ReceiptCountersigned) { return {any_number(), text()}; }
  ReaderList make(ReaderList) {
    return {several(limits::kReadersMax, [&] {
      return Reader{node(), id<Incarnation>(), Bytes(up_to(232), 7)};
    })};
  }
  StateAsk make(StateAsk) {
    return {step(), stage(), any_number(), 1 + up_to(limits::kStatePieceBytes - 1)};
  }
  StatePiece make(StatePiece) {
    const std::uint64_t total = 1 + up_to(std::numeric_limits<std::uint64_t>::max() - 1);
    return {step(), stage(), up_to(total - 1), total};
  }
  StateRefused make(StateRefused) {
    return {step(), stage(), any_number(), static_cast<ErrorCode>(rng_.below(10)), text()};
  }

  Rng rng_;
};

}  // namespace coshard::testing
