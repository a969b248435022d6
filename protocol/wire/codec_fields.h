// What each message consists of (see field_io.h). Private to codec*.cpp.
//
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "protocol/base/messages.h"
#include "protocol/wire/field_io.h"

namespace coshard::wire {

// codec_control.cpp
void describe(FieldIo& io, HeldCheckpoint& m);
void describe(FieldIo& io, SeatClaim& m);
void describe(FieldIo& io, JoinRequest& m);
void describe(FieldIo& io, Heartbeat& m);
void describe(FieldIo& io, MicrobatchPull& m);
void describe(FieldIo& io, UnitDone& m);
void describe(FieldIo& io, UnitReport& m);
void describe(FieldIo& io, UnitRefused& m);
void describe(FieldIo& io, AverageReport& m);
void describe(FieldIo& io, UpdateReport& m);
void describe(FieldIo& io, CheckpointReport& m);
void describe(FieldIo& io, WorkBatchSubmission& m);
void describe(FieldIo& io, PeerComplaint& m);
void describe(FieldIo& io, LeaveNotice& m);
void describe(FieldIo& io, Welcome& m);
void describe(FieldIo& io, Refused& m);
void describe(FieldIo& io, Member& m);
void describe(FieldIo& io, MembershipTable& m);
void describe(FieldIo& io, StepOpen& m);
void describe(FieldIo& io, GrantedMicrobatch& m);
void describe(FieldIo& io, MicrobatchGrant& m);
void describe(FieldIo& io, UnitAck& m);
void describe(FieldIo& io, Contribution& m);
void describe(FieldIo& io, StageClosed& m);
void describe(FieldIo& io, CommitScalars& m);
void describe(FieldIo& io, Commit& m);
void describe(FieldIo& io, RoundEnd& m);
void describe(FieldIo& io, Reader& m);
void describe(FieldIo& io, ReaderList& m);

// codec_repair.cpp
void describe(FieldIo& io, Hop& m);
void describe(FieldIo& io, HeldUnit& m);
void describe(FieldIo& io, Holdings& m);
void describe(FieldIo& io, RepairTaken& m);
void describe(FieldIo& io, RepairTask& m);
void describe(FieldIo& io, RepairOrders& m);
void describe(FieldIo& io, ShardFile& m);
void describe(FieldIo& io, StateOffer& m);
void describe(FieldIo& io, SealOrder& m);
void describe(FieldIo& io, KeepOrder& m);
void describe(FieldIo& io, ShardSealed& m);
void describe(FieldIo& io, ShardReturn& m);

// codec_data.cpp
void describe(FieldIo& io, Unit& m);
void describe(FieldIo& io, TensorHeader& m);
void describe(FieldIo& io, SlotGrant& m);
void describe(FieldIo& io, ForwardTensor& m);
void describe(FieldIo& io, BackwardTensor& m);
void describe(FieldIo& io, GradientChunk& m);
void describe(FieldIo& io, AveragedChunk& m);
void describe(FieldIo& io, AverageAsk& m);
void describe(FieldIo& io, ReceiptWindow& m);
void describe(FieldIo& io, ReceiptCountersigned& m);
void describe(FieldIo& io, StateAsk& m);
void describe(FieldIo& io, StatePiece& m);
void describe(FieldIo& io, StateRefused& m);

}  // namespace coshard::wire
