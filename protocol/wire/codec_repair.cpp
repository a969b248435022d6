// Fields and ranges of the repair and keeper messages of control.proto.
//
// SPDX-License-Identifier: Apache-2.0
#include "protocol/wire/codec_fields.h"

namespace coshard::wire {

void describe(FieldIo& io, UnitRefused& m) {
  io.nested(m.unit);
  io.key(m.sender);
  io.text(m.reason);
  io.number(m.fault, static_cast<std::uint64_t>(UnitFault::kSpoilsSum));
}

void describe(FieldIo& io, Hop& m) {
  io.key(m.node);
  io.number(m.attempt, limits::kAttemptsMax);
}

void describe(FieldIo& io, HeldUnit& m) {
  io.number(m.microbatch, limits::kMicrobatchesMax - 1);
  io.number(m.attempt, limits::kAttemptsMax);
  io.number(m.progress, static_cast<std::uint64_t>(UnitProgress::kDone));
  io.flag(m.counts);
  io.flag(m.has_gradient);
  io.flag(m.output_kept);
  io.flag(m.gradient_kept);
  io.nested(m.from);
  io.nested(m.to);
  io.number(m.tokens, limits::kTokensPerStepMax);
  io.real(m.loss_sum);
  io.flag(m.from_ordered);
  io.flag(m.to_ordered);
  io.number(m.fault, static_cast<std::uint64_t>(UnitFault::kSpoilsSum));
  io.flag(m.relieved);
}

void describe(FieldIo& io, Holdings& m) {
  io.number(m.step, limits::kStepsMax);
  io.number(m.epoch);
  io.number(m.stage, limits::kStagesMax - 1);
  io.flag(m.lacks);
  io.list(m.units);
  io.number(m.averaging, limits::kAttemptsMax);
  io.flag(m.averaged);
  io.number(m.unit_us);
}

void describe(FieldIo& io, RepairTaken& m) {
  io.number(m.step, limits::kStepsMax);
  io.number(m.epoch);
}

void describe(FieldIo& io, RepairTask& m) {
  io.number(m.microbatch, limits::kMicrobatchesMax - 1);
  io.number(m.attempt, limits::kAttemptsMax);
  io.number(m.redo, static_cast<std::uint64_t>(Redo::kCount));
  io.nested(m.from);
  io.nested(m.to);
  io.flag(m.send_output);
  io.flag(m.send_gradient);
  io.flag(m.blank);
  io.flag(m.relieve);
}

void describe(FieldIo& io, RepairOrders& m) {
  io.number(m.step, limits::kStepsMax);
  io.number(m.epoch);
  io.list(m.tasks);
}

void describe(FieldIo& io, SealOrder& m) {
  io.number(m.step, limits::kStepsMax);
  io.number(m.stage, limits::kStagesMax - 1);
  io.array(m.key);
}

void describe(FieldIo& io, KeepOrder& m) {
  io.nested(m.sealed);
  io.key(m.holder);
}

void describe(FieldIo& io, ShardSealed& m) {
  io.nested(m.sealed);
  io.text(m.error);
}

void describe(FieldIo& io, ShardReturn& m) {
  io.nested(m.sealed);
  io.key(m.keeper);
  io.array(m.key);
  io.array(m.opened_hash);
}

}  // namespace coshard::wire
