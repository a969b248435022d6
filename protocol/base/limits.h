// Every bound of coshard in one place: frames, queues, tables, waits. A queue, table or wait
// without a line here is a bug.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace coshard::limits {

// ---- Wire
/// Serialized envelope header, without payload frames (ledger.md T14: Protobuf bombs need small
/// input caps).
inline constexpr std::size_t kHeaderBytesMax = 64 * 1024;
/// One raw payload frame: one boundary tensor or one averaging chunk.
inline constexpr std::size_t kPayloadBytesMax = std::size_t{256} << 20;
/// Payload frames of one message.
inline constexpr std::size_t kPayloadsMax = 4;
/// Dimensions of a tensor on the wire.
inline constexpr std::size_t kDimensionsMax = 4;
/// Messages that a peer may send out of order before the replay window closes over them.
inline constexpr std::uint64_t kReplayWindow = 4096;
/// Text that a peer may put in front of a person (reason, name, endpoint).
inline constexpr std::size_t kTextBytesMax = 1024;
/// Raw control payload (round file, genesis, receipt windows, lists of chunk norms).
inline constexpr std::size_t kControlPayloadBytesMax = std::size_t{8} << 20;
/// Units in one report, members in one table, chunks in one list.
inline constexpr std::size_t kListItemsMax = 65'536;
/// Nested messages and strings in one body: an empty one costs its sender two bytes and us a
/// hundred (ledger.md T14).
inline constexpr std::size_t kBodyItemsMax = 8192;
/// Messages within messages; ours need three.
inline constexpr std::size_t kBodyDepthMax = 4;
/// An unencoded tensor that a peer may describe: what a compressed payload may grow to.
inline constexpr std::uint64_t kDenseBytesMax = std::uint64_t{1} << 32;

// ---- Peers
inline constexpr std::size_t kPeersMax = 4096;
inline constexpr std::chrono::milliseconds kHeartbeatInterval{500};
inline constexpr std::chrono::milliseconds kSuspicionMin{1000};
/// However wide the measured spread, silence this long is a loss (issue: named within 5 s).
inline constexpr std::chrono::milliseconds kSilenceMax{4000};
inline constexpr std::chrono::milliseconds kHandshakeTimeout{5000};
inline constexpr std::chrono::milliseconds kReconnectMin{100};
inline constexpr std::chrono::milliseconds kReconnectMax{1000};
/// Faults of one peer before it is dropped.
inline constexpr std::uint32_t kPeerFaultsMax = 32;
/// Bytes queued towards one peer before send() says kResourceExhausted.
inline constexpr std::size_t kBytesInFlightMax = std::size_t{512} << 20;
inline constexpr int kSocketQueueMessages = 4096;
/// Whole messages that libzmq holds for us per peer before TCP pushes back.
inline constexpr int kSocketReceiveQueueMessages = 64;
/// libzmq's own heartbeat: ends connections whose other end vanished without a word. Wider than
/// kSilenceMax, because its answer queues behind the frame that is being sent.
inline constexpr std::chrono::milliseconds kSocketHeartbeat{5000};
inline constexpr std::chrono::milliseconds kSocketHeartbeatTimeout{30'000};
/// Tasks posted to the network thread and not yet run.
inline constexpr std::size_t kReactorTasksMax = 65'536;
/// Messages taken from one socket before the others get their turn.
inline constexpr int kMessagesPerTurn = 64;

// ---- Training
inline constexpr std::uint32_t kStagesMax = 256;
inline constexpr std::uint32_t kReplicasMax = 1024;
/// Of a step. What a node says of all of them (units done, units held, orders to redo them) fits
/// one header.
inline constexpr std::uint32_t kMicrobatchesMax = 512;
inline constexpr std::uint64_t kStepsMax = std::uint64_t{1} << 40;
inline constexpr std::uint32_t kAttemptsMax = 1u << 20;
inline constexpr std::uint64_t kTokensPerStepMax = std::uint64_t{1} << 40;
/// Forwards that a stage may hold beyond the 1F1B depth S - stage, to hide the network's delay.
inline constexpr std::uint32_t kInFlightExtra = 1;
/// Elements of one averaging chunk; chunks never span two parameters (design 3.1, clipping factor).
inline constexpr std::uint64_t kChunkElements = std::uint64_t{1} << 18;
/// Averaging chunks that a replica has sent to one reducer, or reduces itself, and whose average is
/// not there yet.
inline constexpr std::uint32_t kAveragingWindow = 32;
/// Between two questions to all nodes what they hold, where the answers did not fit together.
inline constexpr std::chrono::milliseconds kSurveyInterval{100};
/// Averaging attempts that a neighbour may have heard of before us.
inline constexpr std::uint32_t kAttemptsAhead = 8;
inline constexpr std::uint64_t kLedgerEpochSteps = 20;
/// Root mean square of a boundary tensor above which no training run still lives: a neighbour's
/// fault, refused.
inline constexpr double kBoundaryRmsMax = 1e6;
/// Tensors that a node keeps in host memory until their step commits (design 3.2).
inline constexpr std::size_t kKeptBytesMax = std::size_t{4} << 30;
/// Bytes of saved state in one message (design 3.1: 1 MiB), pieces that a node has in hand for all
/// who ask together, and pieces that one who asks expects of one node.
inline constexpr std::size_t kStatePieceBytes = std::size_t{1} << 20;
inline constexpr std::size_t kStatePiecesInHand = 8;
inline constexpr std::size_t kStatePiecesPerNode = 4;
/// Who may read at one time, and how long after the last word about it.
inline constexpr std::size_t kReadersMax = 16;
inline constexpr std::chrono::seconds kReaderLease{10};
/// Waits that a machine shows to people, the most urgent ones.
inline constexpr std::size_t kWaitsShown = 8;
inline constexpr std::chrono::milliseconds kUnitReportInterval{50};
inline constexpr std::chrono::milliseconds kRepeatInterval{500};
inline constexpr std::chrono::seconds kAdmissionTimeout{60};
inline constexpr std::chrono::seconds kSettleTimeout{10};
/// What a stage may take to load, or its state to come over the line, where that was not measured.
inline constexpr std::chrono::minutes kLoadTimeout{10};
/// A joiner's link is judged by what it brought in at least this time.
inline constexpr std::chrono::seconds kLinkMeasureMin{3};
/// An average of a committed step that has not come to a joiner after this will not come.
inline constexpr std::chrono::seconds kCatchUpPatience{10};
/// How long the open step may keep a node that wants to leave; then its units are done again.
inline constexpr std::chrono::seconds kLeaveTimeout{5};
/// A node that was fenced asks to be let in again after this, doubled each time up to the maximum;
/// from the minimum again once it has been in for that long.
inline constexpr std::chrono::seconds kRejoinMin{1};
inline constexpr std::chrono::seconds kRejoinMax{300};
/// A node that has not heard the coordinator for so long asks whether it still has its seat.
inline constexpr std::chrono::milliseconds kClaimSilence{1000};
/// How long a node keeps its stage and goes on asking while the coordinator is silent.
inline constexpr std::chrono::minutes kCoordinatorPatience{10};
/// A replica moves to another stage when that has been best for so many steps, and so long after
/// the move before.
inline constexpr std::uint32_t kMoveAfterSteps = 20;
inline constexpr std::uint32_t kMovePauseSteps = 100;
/// How long a coordinator that came back gives the members of its journal to say that they live.
inline constexpr std::chrono::milliseconds kReturnTimeout = kSilenceMax;
/// How long a round that lost a stage waits for those of its nodes that live, once every stage has
/// somebody; and how long it waits for a stage that nobody who lives holds.
inline constexpr std::chrono::seconds kFallBackTimeout{5};
inline constexpr std::chrono::hours kStagePatience{24};
/// How long a coordinator waits at the end for its nodes to have heard so.
inline constexpr std::chrono::seconds kFarewellTimeout{3};

// ---- Queues between threads
/// Threads of libtorch's pool that a command line may ask for.
inline constexpr int kThreadsMax = 1024;
inline constexpr std::size_t kEngineQueueMax = 1024;
inline constexpr std::size_t kLedgerQueueMax = 4096;

// ---- HTTP (the coordinator's status and the log's files)
inline constexpr std::size_t kHttpRequestBytesMax = 4096;
inline constexpr std::size_t kHttpKeepAliveMax = 16;
inline constexpr std::chrono::seconds kHttpTimeout{5};

// ---- Ledger
/// Cap of one entry; the tile layout allows 65,535 (ledger.md 1.2).
inline constexpr std::size_t kEntryBytesMax = 16 * 1024;
inline constexpr std::size_t kNoteBytesMax = 64 * 1024;
inline constexpr std::size_t kNoteSignaturesMax = 100;
/// A policy file, and the logs in it; witnesses and groups together may be twice as many.
inline constexpr std::size_t kPolicyBytesMax = 256 * 1024;
inline constexpr std::size_t kPolicyItemsMax = 256;
/// Hashes of a consistency proof that a witness takes (c2sp.org/tlog-witness).
inline constexpr std::size_t kProofHashesMax = 63;
/// A fork's evidence: two notes and a path.
inline constexpr std::size_t kEvidenceBytesMax = 2 * kNoteBytesMax + 16 * 1024;
/// How long one witness may take to answer, and when it is asked again after a failure, doubled
/// each time up to the maximum.
inline constexpr std::chrono::milliseconds kWitnessTimeout{3000};
inline constexpr std::chrono::milliseconds kWitnessRetryMin{500};
inline constexpr std::chrono::milliseconds kWitnessRetryMax{30'000};
/// How long a coordinator that ends waits for the last cosignatures.
inline constexpr std::chrono::seconds kWitnessFarewell{8};
/// Ledger epochs that may wait for work batches at one time.
inline constexpr std::size_t kOpenEpochsMax = 64;
/// Ledger epochs whose receipt windows a node keeps on its disk.
inline constexpr std::uint64_t kReceiptEpochsKept = 64;
/// Receipts under one signed window.
inline constexpr std::size_t kWindowReceiptsMax = 4096;
/// Entries that a reader takes on at once.
inline constexpr std::uint64_t kLogEntriesMax = std::uint64_t{1} << 26;
/// The list of an epoch's committed units, published beside the log.
inline constexpr std::size_t kUnitsFileBytesMax = std::size_t{64} << 20;

// ---- Files
inline constexpr std::size_t kRoundFileBytesMax = std::size_t{1} << 20;
inline constexpr std::size_t kSafetensorsHeaderBytesMax = std::size_t{64} << 20;
/// Copies of a stage's state that wait to be written, the one that is written included: a copy
/// takes memory, so the next is made when the last is durable.
inline constexpr std::size_t kSavesInHand = 1;
/// Checkpoints that a node keeps on its disk and offers when it joins.
inline constexpr std::size_t kCheckpointsHeld = 3;
inline constexpr std::size_t kManifestBytesMax = std::size_t{16} << 20;
/// Nesting and number of values of any JSON that is read: a manifest, a safetensors header, a
/// config.json.
inline constexpr std::size_t kJsonDepthMax = 16;
inline constexpr std::size_t kJsonValuesMax = std::size_t{1} << 20;
/// Sequences of one step, over all microbatches.
inline constexpr std::uint64_t kSequencesPerStepMax = std::uint64_t{1} << 20;
/// Megatron index of one token shard; SentencePiece model.
inline constexpr std::size_t kTokenIndexBytesMax = std::size_t{1} << 30;
inline constexpr std::size_t kTokenizerModelBytesMax = std::size_t{64} << 20;
/// Text that is tokenised in one piece; longer lines are cut.
inline constexpr std::size_t kTextPieceBytesMax = std::size_t{1} << 20;
inline constexpr std::size_t kKeyFileBytesMax = 4096;
/// Argon2id memory that a key file may ask for: a hostile file must not exhaust the machine
/// (ledger.md 4.5).
inline constexpr std::size_t kKeyFileMemoryMax = std::size_t{1} << 30;
inline constexpr std::uint64_t kKeyFileOpsMax = 16;

static_assert(kHeartbeatInterval * 2 <= kSuspicionMin,
              "two heartbeats fit before the first suspicion");
static_assert(kSilenceMax + kHeartbeatInterval < std::chrono::milliseconds(5000),
              "a loss is noticed and named within five seconds");
static_assert(kClaimSilence >= 2 * kHeartbeatInterval, "one late heartbeat is no silence");
static_assert(kReturnTimeout >= kClaimSilence + kReconnectMax + 2 * kRepeatInterval,
              "a node that lives has dialled and asked twice by then");
static_assert(kMicrobatchesMax * std::size_t{122} <= kHeaderBytesMax,
              "a held unit and a repair task take less than 122 bytes each");
static_assert(kChunkElements * 4 <= kPayloadBytesMax,
              "an averaging chunk fits in one payload frame");
static_assert(kPayloadBytesMax <= kKeptBytesMax, "one payload may always be kept");
static_assert(kPayloadBytesMax <= kBytesInFlightMax, "one payload may always be in flight");
static_assert(kStatePieceBytes <= kPayloadBytesMax, "a piece of state fits in one payload frame");
static_assert(kEntryBytesMax < 65'536, "an entry's length fits in the bundle's u16");

}  // namespace coshard::limits
