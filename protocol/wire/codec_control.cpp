// Fields and ranges of control.proto.
//
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "crypto/identity.h"
#include "protocol/wire/codec_fields.h"

namespace coshard::wire {
namespace {

constexpr std::uint64_t kStageMax = limits::kStagesMax - 1;
constexpr std::uint64_t kReplicaMax = limits::kReplicasMax - 1;
constexpr std::uint64_t kMicrobatchMax = limits::kMicrobatchesMax - 1;

template <class T, class Less>
bool strictly_ascending(const std::vector<T>& items, Less less) {
  return std::adjacent_find(items.begin(), items.end(),
                            [&](const T& a, const T& b) { return !less(a, b); }) == items.end();
}

template <class T>
bool distinct(std::vector<T> items) {
  std::sort(items.begin(), items.end());
  return std::adjacent_find(items.begin(), items.end()) == items.end();
}

}  // namespace

// ---- node -> coordinator

void describe(FieldIo& io, HeldCheckpoint& m) {
  io.number(m.stage, kStageMax);
  io.number(m.step, limits::kStepsMax);
  io.array(m.file_hash);
}

void describe(FieldIo& io, SeatClaim& m) {
  io.number(m.incarnation);
  io.number(m.committed, limits::kStepsMax);
  io.flag(m.working);
}

void describe(FieldIo& io, JoinRequest& m) {
  io.text(m.endpoint);
  io.text(m.software);
  io.text(m.device);
  io.number(m.memory_bytes);
  io.number(m.flops_per_second);
  io.list(m.checkpoints);
  io.nested(m.seat);
  io.flag(m.card);
}

void describe(FieldIo& io, Heartbeat& m) {
  io.number(m.applied_step, limits::kStepsMax);
  io.number(m.activity, static_cast<std::uint64_t>(NodeActivity::kSaving));
  io.number(m.outstanding, limits::kMicrobatchesMax);
  io.number(m.tokens_per_second);
  io.number(m.boundary_bytes_sent);
  io.number(m.boundary_tokens);
  io.number(m.unit_us);
}

void describe(FieldIo& io, MicrobatchPull& m) {
  io.number(m.step, limits::kStepsMax);
  io.number(m.slots, limits::kMicrobatchesMax);
  io.number(m.request);
}

void describe(FieldIo& io, UnitDone& m) {
  io.number(m.microbatch, kMicrobatchMax);
  io.number(m.attempt, limits::kAttemptsMax);
  io.number(m.tokens, limits::kTokensPerStepMax);
  io.real(m.loss_sum);
}

void describe(FieldIo& io, UnitReport& m) {
  io.number(m.step, limits::kStepsMax);
  io.number(m.stage, kStageMax);
  io.list(m.units, limits::kMicrobatchesMax);
  io.require(
      strictly_ascending(m.units, [](auto& a, auto& b) { return a.microbatch < b.microbatch; }),
      "names units that are not strictly ascending");
}

void describe(FieldIo& io, AverageReport& m) {
  io.number(m.step, limits::kStepsMax);
  io.number(m.stage, kStageMax);
  io.number(m.attempt, limits::kAttemptsMax);
  io.array(m.average_hash);
  io.magnitudes(m.squared_norms);
}

void describe(FieldIo& io, UpdateReport& m) {
  io.number(m.step, limits::kStepsMax);
  io.number(m.stage, kStageMax);
  io.array(m.digest);
}

void describe(FieldIo& io, CheckpointReport& m) {
  io.number(m.step, limits::kStepsMax);
  io.number(m.stage, kStageMax);
  io.array(m.file_hash);
  io.number(m.bytes);
  io.text(m.error);
}

void describe(FieldIo& io, WorkBatchSubmission& m) {
  io.number(m.epoch, limits::kStepsMax);
  io.number(m.stage, kStageMax);
}

void describe(FieldIo& io, PeerComplaint& m) {
  io.key(m.peer);
  io.number(m.step, limits::kStepsMax);
  io.text(m.reason);
}

void describe(FieldIo& io, LeaveNotice& m) { io.text(m.reason); }

// ---- coordinator -> node

void describe(FieldIo& io, Welcome& m) {
  io.number(m.stage, kStageMax);
  io.number(m.replica, kReplicaMax);
  io.number(m.incarnation);
  io.number(m.epoch);
  io.number(m.resume_step, limits::kStepsMax);
  io.array(m.resume_file_hash);
  io.text(m.ledger_url);
  io.flag(m.joins);
  io.flag(m.restores);
}

void describe(FieldIo& io, Refused& m) {
  io.number(m.code, static_cast<std::uint64_t>(ErrorCode::kInternal));
  io.text(m.reason);
}

void describe(FieldIo& io, Member& m) {
  io.key(m.node);
  io.number(m.stage, kStageMax);
  io.number(m.replica, kReplicaMax);
  io.number(m.incarnation);
  io.text(m.endpoint);
  io.blob(m.certificate, crypto::NodeCertificate::kEncodedBytes);
  io.flag(m.joining);
}

void describe(FieldIo& io, MembershipTable& m) {
  io.number(m.epoch);
  io.list(m.members, limits::kPeersMax);
  std::vector<NodeId> nodes;
  for (const Member& member : m.members) nodes.push_back(member.node);
  io.require(distinct(std::move(nodes)), "names a node twice");
}

void describe(FieldIo& io, StepOpen& m) {
  io.number(m.step, limits::kStepsMax);
  io.number(m.epoch);
}

void describe(FieldIo& io, GrantedMicrobatch& m) {
  io.number(m.microbatch, kMicrobatchMax);
  io.number(m.attempt, limits::kAttemptsMax);
}

void describe(FieldIo& io, MicrobatchGrant& m) {
  io.number(m.step, limits::kStepsMax);
  io.number(m.request);
  io.list(m.microbatches, limits::kMicrobatchesMax);
  io.require(strictly_ascending(m.microbatches,
                                [](auto& a, auto& b) { return a.microbatch < b.microbatch; }),
             "names microbatches that are not strictly ascending");
}

void describe(FieldIo& io, UnitAck& m) {
  io.number(m.step, limits::kStepsMax);
  io.number(m.stage, kStageMax);
  io.ascending(m.microbatches, limits::kMicrobatchesMax);
}

void describe(FieldIo& io, Contribution& m) {
  io.key(m.node);
  io.ascending(m.microbatches, limits::kMicrobatchesMax);
}

void describe(FieldIo& io, StageClosed& m) {
  io.number(m.step, limits::kStepsMax);
  io.number(m.stage, kStageMax);
  io.number(m.attempt, limits::kAttemptsMax);
  io.number(m.tokens, limits::kTokensPerStepMax);
  io.list(m.contributions, limits::kReplicasMax);
  io.keys(m.reducers, limits::kReplicasMax);
  io.keys(m.joiners, limits::kReplicasMax);
  io.keys(m.holders, limits::kReplicasMax);
  std::vector<NodeId> nodes;
  std::vector<MicrobatchIndex> microbatches;
  for (const Contribution& part : m.contributions) {
    nodes.push_back(part.node);
    microbatches.insert(microbatches.end(), part.microbatches.begin(), part.microbatches.end());
  }
  io.require(distinct(std::move(nodes)), "names a contributor twice");
  io.require(distinct(std::move(microbatches)), "counts a microbatch twice");
  io.require(!m.reducers.empty() && distinct(m.reducers), "names no reducer, or one twice");
  io.require(distinct(m.joiners), "names a joiner twice");
  io.require(distinct(m.holders), "names a holder twice");
}

void describe(FieldIo& io, ShardFile& m) {
  io.number(m.step, limits::kStepsMax);
  io.number(m.stage, kStageMax);
  io.array(m.file_hash);
  io.number(m.bytes);
}

void describe(FieldIo& io, StateOffer& m) { io.nested(m.file); }

void describe(FieldIo& io, CommitScalars& m) {
  io.number(m.step, limits::kStepsMax);
  for (float* scalar :
       {&m.learning_rate, &m.step_size, &m.decay_factor, &m.sqrt_bias_correction2, &m.beta1,
        &m.one_minus_beta1, &m.beta2, &m.one_minus_beta2, &m.eps, &m.clip_factor}) {
    io.finite(*scalar);
  }
  io.flag(m.skip);
  io.array(m.fingerprint_key);
}

void describe(FieldIo& io, Commit& m) {
  io.nested(m.scalars);
  io.flag(m.checkpoint);
  io.flag(m.ends_ledger_epoch);
  io.number(m.ledger_epoch, limits::kStepsMax);
}

void describe(FieldIo& io, RoundEnd& m) {
  io.number(m.reason, static_cast<std::uint64_t>(EndReason::kInternal));
  io.number(m.last_step, limits::kStepsMax);
  io.flag(m.checkpoint);
  io.text(m.text);
  io.flag(m.settled);
}

void describe(FieldIo& io, Reader& m) {
  io.key(m.node);
  io.number(m.incarnation);
  io.blob(m.certificate, crypto::NodeCertificate::kEncodedBytes);
}

void describe(FieldIo& io, ReaderList& m) {
  io.list(m.readers, limits::kReadersMax);
  std::vector<NodeId> nodes;
  for (const Reader& reader : m.readers) nodes.push_back(reader.node);
  io.require(distinct(std::move(nodes)), "names a reader twice");
}

}  // namespace coshard::wire
