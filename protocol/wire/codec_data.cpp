// Fields and ranges of data.proto.
//
// SPDX-License-Identifier: Apache-2.0
#include "protocol/wire/codec_fields.h"

namespace coshard::wire {
namespace {

template <class M>
void describe_chunk(FieldIo& io, M& m) {
  io.number(m.step, limits::kStepsMax);
  io.number(m.stage, limits::kStagesMax - 1);
  io.number(m.attempt, limits::kAttemptsMax);
  io.number(m.chunk, limits::kListItemsMax - 1);
}

}  // namespace

void describe(FieldIo& io, Unit& m) {
  io.number(m.step, limits::kStepsMax);
  io.number(m.microbatch, limits::kMicrobatchesMax - 1);
  io.number(m.stage, limits::kStagesMax - 1);
  io.number(m.attempt, limits::kAttemptsMax);
}

void describe(FieldIo& io, TensorHeader& m) {
  io.number(m.dtype, static_cast<std::uint64_t>(DType::kI32));
  io.number(m.encoding, static_cast<std::uint64_t>(BoundaryEncoding::kSubspace));
  io.shape(m.shape);
  const auto bytes = dense_bytes(m.dtype, m.shape);
  io.require(bytes && *bytes > 0 && *bytes <= limits::kDenseBytesMax,
             "has an unknown dtype, an empty shape, or a shape that is too large");
}

void describe(FieldIo& io, SlotGrant& m) {
  io.number(m.slots_total);
  io.number(m.unit_us);
  io.number(m.to);
}

void describe(FieldIo& io, ForwardTensor& m) {
  io.nested(m.unit);
  io.nested(m.tensor);
  io.flag(m.ordered);
}

void describe(FieldIo& io, BackwardTensor& m) {
  io.nested(m.unit);
  io.nested(m.tensor);
  io.number(m.slots_total);
}

void describe(FieldIo& io, GradientChunk& m) { describe_chunk(io, m); }

void describe(FieldIo& io, AveragedChunk& m) {
  describe_chunk(io, m);
  io.magnitude(m.squared_norm);
}

void describe(FieldIo& io, AverageAsk& m) {
  io.number(m.step, limits::kStepsMax);
  io.number(m.stage, limits::kStagesMax - 1);
  io.number(m.attempt, limits::kAttemptsMax);
  io.ascending(m.chunks, limits::kListItemsMax);
  io.require(!m.chunks.empty() && m.chunks.size() <= limits::kAveragingWindow,
             "asks for no chunk, or for more than a window of them");
}

void describe(FieldIo& io, ReceiptWindow& m) { io.number(m.window); }

void describe(FieldIo& io, ReceiptCountersigned& m) {
  io.number(m.window);
  io.text(m.refusal);
}

void describe(FieldIo& io, StateAsk& m) {
  io.number(m.step, limits::kStepsMax);
  io.number(m.stage, limits::kStagesMax - 1);
  io.number(m.offset);
  io.number(m.bytes, limits::kStatePieceBytes);
  io.require(m.bytes > 0, "asks for nothing");
}

void describe(FieldIo& io, StatePiece& m) {
  io.number(m.step, limits::kStepsMax);
  io.number(m.stage, limits::kStagesMax - 1);
  io.number(m.offset);
  io.number(m.bytes_total);
  io.require(m.offset < m.bytes_total, "begins behind the end of the state");
}

void describe(FieldIo& io, StateRefused& m) {
  io.number(m.step, limits::kStepsMax);
  io.number(m.stage, limits::kStagesMax - 1);
  io.number(m.offset);
  io.number(m.code, static_cast<std::uint64_t>(ErrorCode::kInternal));
  io.text(m.reason);
}

}  // namespace coshard::wire
