// cs-ledger: the one writer of the contribution ledger. Takes what the round has decided and what
// others have signed, verifies signatures on all cores, turns it into entries, makes them durable
// in groups, and only then answers. Publishes whenever the publication before is written. Nothing
// that trains waits for it. set_reply_handler() and start(): main, before anything is submitted;
// submit(), close(): cs-net (close: main, when cs-net is over; LedgerSubmit also from threads of
// HTTP).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <thread>
#include <variant>
#include <vector>

#include "ledger/round_ledger.h"
#include "node/coordinator/ledger_home.h"
#include "node/coordinator/witness_talk.h"
#include "protocol/base/bounded_queue.h"
#include "protocol/round/coordinator.h"

namespace coshard::node {

/// What a submission waits for its entries to be durable.
inline constexpr std::chrono::seconds kSubmitTimeout{10};

// ---- tasks --------------------------------------------------------------------------------------

struct LedgerRegister {
  crypto::NodeCertificate certificate;
};
/// An epoch is over. `members`: who held what, for the units file.
struct LedgerEpochClose {
  round::EpochFinished finished;
  std::vector<ledger::EpochMember> members;
};
/// A node's signed batch, as it came.
struct LedgerWorkBatch {
  NodeId node;
  LedgerEpoch epoch;
  StageIndex stage;
  Bytes signed_batch;
  /// What the bytes say; cs-ledger finds out before their turn.
  std::optional<Result<ledger::VerifiedBody>> read = std::nullopt;
};
/// The node will not say anything more under this incarnation: nobody waits for its batches.
struct LedgerGone {
  NodeId node;
};
struct LedgerCheckpoint {
  round::CheckpointRecord record;
};
struct LedgerRollback {
  round::RolledBack rollback;
};
/// The round is finished for ever: settle what is open and burn what was not emitted.
struct LedgerFinish {
  StepId last_step;
  std::string text;
};
/// Somebody asks for an entry (ledger/requests.h). `done` is called once, on cs-ledger: with the
/// indices when they are durable, or with the reason why not.
struct LedgerSubmit {
  struct Answer {
    std::vector<LogIndex> indices;
    std::uint64_t size = 0;  ///< entries of the log; they are published within a second or so
  };
  Bytes request;
  std::function<void(const Result<Answer>&)> done;
  std::optional<Result<ledger::Asked>> read = std::nullopt;  ///< as in LedgerWorkBatch
};
/// Time passes; every limits::kHeartbeatInterval.
struct LedgerTick {};

using LedgerTask =
    std::variant<LedgerRegister, LedgerEpochClose, LedgerWorkBatch, LedgerGone, LedgerCheckpoint,
                 LedgerRollback, LedgerFinish, LedgerSubmit, LedgerTick>;

// ---- replies: all of them true of what is durable ----------------------------------------------

/// The node need not send this batch again: it is in the log, or judged for ever.
struct BatchTaken {
  NodeId node;
  LedgerEpoch epoch;
  StageIndex stage;
  Hash body_hash{};
};
/// EpochClose is in the log.
struct LedgerEpochDurable {
  LedgerEpoch epoch;
};
/// Every batch that can still come is in, or its time is over; the epoch is credited.
struct LedgerSettled {
  LedgerEpoch epoch;
};
/// The log as signed, to be read a moment later.
struct LedgerView {
  std::string origin;
  std::uint64_t size = 0;
  std::string root_hex;
  Duration busy{};  ///< time that cs-ledger has worked since the start
};
struct LedgerFailed {
  Error error;
};
using LedgerReply =
    std::variant<BatchTaken, LedgerEpochDurable, LedgerSettled, LedgerView, LedgerFailed>;

class LedgerThread {
 public:
  /// `home` and `clock` outlive the thread.
  LedgerThread(LedgerHome& home, const Clock& clock);
  ~LedgerThread() { close(); }
  LedgerThread(const LedgerThread&) = delete;
  LedgerThread& operator=(const LedgerThread&) = delete;

  /// Called on cs-ledger for every reply.
  void set_reply_handler(std::function<void(const LedgerReply&)> handler) {
    reply_ = std::move(handler);
  }
  /// Checkpoints are published when these have cosigned them (the home was opened for that). Before
  /// start().
  void set_witnesses(ledger::WitnessDesk desk, std::unique_ptr<WitnessCarrier> carrier);
  void start();
  /// Until start(), where one thread does everything (a swarm under virtual time): what was
  /// submitted is worked off here and now. False: nothing was.
  bool run_one();
  /// False when limits::kLedgerQueueMax tasks are waiting or the thread is closed.
  [[nodiscard]] bool submit(LedgerTask task) { return tasks_.try_push(std::move(task)); }
  /// Works off what was submitted, settles what is open, publishes all of it, joins. Idempotent.
  void close();

 private:
  struct OpenSettlement {
    TimePoint deadline;
    std::vector<LedgerWorkBatch> early;  ///< batches that came before the epoch was closed
    std::set<std::pair<StageIndex, NodeId>> refused;  ///< who has said something else than we count
  };
  void run();
  void work_off(LedgerTask task);
  std::vector<LedgerTask> take_group(LedgerTask first);
  void read_signed(std::vector<LedgerTask>& group) const;
  Result<void> work_group(LedgerTask first);
  void answer();
  Result<void> work(const LedgerRegister& task);
  Result<void> work(const LedgerEpochClose& task);
  Result<void> work(const LedgerWorkBatch& task);
  Result<void> work(const LedgerGone& task);
  Result<void> work(const LedgerCheckpoint& task);
  Result<void> work(const LedgerRollback& task);
  Result<void> work(const LedgerFinish& task);
  Result<void> work(const LedgerSubmit& task);
  Result<void> work(const LedgerTick& task);
  void give_up_submissions(const Error& error);
  Result<void> settle_what_is_due(bool all);
  bool is_awaited(LedgerEpoch epoch, const OpenSettlement& settlement) const;
  Result<void> settle(LedgerEpoch epoch);
  Result<void> post_what_is_covered();
  Result<void> publish();
  Result<void> talk_to_witnesses();
  Result<void> await_witnesses();
  void complain();

  LedgerHome& home_;
  const Clock& clock_;
  /// Nobody listens yet when the round's network could not be opened.
  std::function<void(const LedgerReply&)> reply_ = [](const LedgerReply&) {};
  BoundedQueue<LedgerTask> tasks_{limits::kLedgerQueueMax};
  std::set<NodeId> gone_;
  std::map<LedgerEpoch, OpenSettlement> open_;
  std::vector<round::CheckpointRecord> checkpoints_;  ///< of steps whose epoch is not closed yet
  std::deque<LedgerReply> replies_;                   ///< to be given once durable
  struct Submission {
    std::function<void(const Result<LedgerSubmit::Answer>&)> done;
    Result<std::vector<LogIndex>> outcome;
  };
  std::vector<Submission> submissions_;  ///< to be answered once durable
  Duration busy_{};
  bool healthy_ = true;
  std::string complaint_;            ///< as it was last logged
  std::optional<WitnessTalk> talk_;  ///< its carrier's threads submit to us: goes first
  std::thread thread_;
};

}  // namespace coshard::node
