// From a round file to what each part of coshard takes: one place that translates, so that node and
// coordinator cannot read the same file differently. Pure functions, any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "ledger/leaves.h"
#include "node/round_file.h"
#include "protocol/round/coordinator.h"
#include "protocol/round/work.h"
#include "shard/data/token_source.h"
#include "shard/plan/memory.h"

namespace coshard::node {

round::RoundShape round_shape(const RoundFile& round);
round::Schedule round_schedule(const RoundFile& round);
shard::TokenOrder token_order(const RoundFile& round);
/// `fingerprint_secret` is the coordinator's own and stays with it.
round::CoordinatorConfig coordinator_config(const RoundFile& round,
                                            std::uint64_t fingerprint_secret);
/// What `stage` takes in memory on a card, or on the processor. The node's own check and the
/// coordinator's choice of a seat are this one function.
shard::MemoryPlan stage_bill(const RoundFile& round, std::uint32_t stage, bool card);
/// bf16 on cards where the round leaves it open.
bool computes_bf16(const RoundFile& round, bool card);
/// The checkpoint from which the round begins; nothing where it begins with initial weights.
std::optional<round::CheckpointRecord> beginning_of(const RoundFile& round);
/// FLOPs per token of each stage, forward and backward: the prices that Genesis fixes.
std::vector<std::uint64_t> stage_prices(const RoundFile& round);

/// The ledger's first entry, without keys and nonce (RoundLedger::genesis fills them in).
/// kInvalidArgument for a domain or a model name that cannot name a log.
Result<ledger::Genesis> genesis_of(const RoundFile& round, std::string_view round_text);
/// When the round was founded, milliseconds since 1970 by the coordinator's clock; 0 when the entry
/// is none.
std::uint64_t founded_ms(ByteView genesis_entry);

}  // namespace coshard::node
