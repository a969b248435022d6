// The loop of cs-ledger.
// SPDX-License-Identifier: Apache-2.0
#include "node/coordinator/ledger_thread.h"

#include <pthread.h>

#include <algorithm>

#include "crypto/hash.h"
#include "protocol/base/failpoint.h"
#include "protocol/base/log.h"
#include "protocol/base/parallel.h"

namespace coshard::node {

namespace {

/// Tasks that share one transaction at most.
constexpr std::size_t kGroupMax = 512;
/// Signatures that are worth a thread of their own.
constexpr std::size_t kSignaturesPerThread = 8;

ledger::EpochSummary summary_of(const LedgerEpochClose& task) {
  const round::EpochFinished& finished = task.finished;
  ledger::EpochSummary summary{finished.epoch, finished.first_step, finished.last_step, {}, {},
                               task.members};
  for (const round::SettledStep& step : finished.steps) {
    const StepId id = step.record.step();
    for (const round::UnitRecord& unit : step.record.units)
      summary.units.push_back(
          {Unit{id, unit.microbatch, unit.stage, unit.attempt}, unit.node, false});
    for (std::uint32_t stage = 0; stage < step.digests.size(); ++stage)
      if (step.digests[stage])
        summary.digests.push_back({id, StageIndex(stage), *step.digests[stage]});
  }
  return summary;
}

}  // namespace

/// What a crash left closed and not credited is settled here: the journal does not hand it over
/// again.
LedgerThread::LedgerThread(LedgerHome& home, const Clock& clock) : home_(home), clock_(clock) {
  const auto& epochs = home_.ledger().accounts().epochs();
  for (std::size_t epoch = 0; epoch < epochs.size(); ++epoch)
    if (!epochs[epoch].is_complete() || epochs[epoch].status == ledger::EpochState::Status::kClosed)
      open_[LedgerEpoch(epoch)].deadline = clock_.now() + limits::kSettleTimeout;
}

void LedgerThread::start() {
  home_.folder().start([this] { (void)tasks_.try_push(LedgerTick{}); });  // publishes what came
  thread_ = std::thread([this] { run(); });
}

void LedgerThread::close() {
  tasks_.close();
  if (thread_.joinable()) thread_.join();
  (void)home_.folder().finish();  // it wakes us; how it went is known already, or the ledger failed
}

void LedgerThread::run() {
  pthread_setname_np(pthread_self(), "cs-ledger");
  while (auto task = tasks_.pop()) work_off(std::move(*task));
  if (!healthy_) return;
  Result<void> settled = settle_what_is_due(true);
  if (settled) settled = home_.folder().finish();
  if (settled) settled = publish();
  if (settled) settled = await_witnesses();
  if (!settled) log(LogLevel::kError, "ledger", settled.error().message);
}

bool LedgerThread::run_one() {
  auto task = tasks_.try_pop();
  if (task) work_off(std::move(*task));
  return task.has_value();
}

void LedgerThread::work_off(LedgerTask task) {
  if (!healthy_) {  // drains, so that nobody finds the queue full
    if (const auto* asked = std::get_if<LedgerSubmit>(&task))
      asked->done(fail(ErrorCode::kUnavailable, "the ledger has stopped"));
    return;
  }
  const TimePoint began = clock_.now();
  const Result<void> worked = work_group(std::move(task));
  busy_ += clock_.now() - began;
  if (worked) return;
  healthy_ = false;
  give_up_submissions(worked.error());
  reply_(LedgerFailed{worked.error().within("ledger")});
}

std::vector<LedgerTask> LedgerThread::take_group(LedgerTask first) {
  std::vector<LedgerTask> group;
  group.push_back(std::move(first));
  while (group.size() < kGroupMax) {
    auto task = tasks_.try_pop();
    if (!task) break;
    group.push_back(std::move(*task));
  }
  return group;
}

/// Signatures bound what a ledger can take in, not its database: all cores verify them.
void LedgerThread::read_signed(std::vector<LedgerTask>& group) const {
  const auto& ledger = home_.ledger();
  const auto read = [&](std::size_t i) {
    if (auto* batch = std::get_if<LedgerWorkBatch>(&group[i]))
      batch->read = ledger::read_work_batch(batch->signed_batch, home_.network());
    if (auto* asked = std::get_if<LedgerSubmit>(&group[i]))
      asked->read = ledger.read(asked->request);
  };
  parallel_for(group.size(), kSignaturesPerThread, read);
}

Result<void> LedgerThread::work_group(LedgerTask first) {
  std::vector<LedgerTask> group = take_group(std::move(first));
  read_signed(group);
  Result<void> done;
  for (LedgerTask& task : group) {
    if (done) done = std::visit([this](const auto& known) { return work(known); }, task);
    // After an error whoever asks is told so, as are all who come later.
    else if (auto* asked = std::get_if<LedgerSubmit>(&task))
      submissions_.push_back({std::move(asked->done), tl::unexpected(done.error())});
  }
  COSHARD_TRY(done);
  COSHARD_TRY(settle_what_is_due(false));
  COSHARD_TRY(home_.ledger().commit());
  answer();
  COSHARD_ASSIGN(const bool written, home_.folder().is_idle());
  return written ? publish() : Result<void>{};  // else when it is: the folder gives us a tick
}

/// What was promised is durable from here on.
void LedgerThread::answer() {
  for (const LedgerReply& reply : std::exchange(replies_, {})) reply_(reply);
  for (const Submission& one : std::exchange(submissions_, {})) {
    if (one.outcome) {
      one.done(LedgerSubmit::Answer{*one.outcome, home_.ledger().accounts().size()});
    } else {
      one.done(tl::unexpected(one.outcome.error()));
    }
  }
}

Result<void> LedgerThread::publish() {
  COSHARD_TRY(home_.ledger().publish());
  COSHARD_TRY(talk_to_witnesses());
  COSHARD_ASSIGN(const ledger::Checkpoint checkpoint, home_.ledger().publish());
  answer();
  reply_(LedgerView{checkpoint.origin, checkpoint.size, to_hex(checkpoint.root), busy_});
  return {};
}

void LedgerThread::set_witnesses(ledger::WitnessDesk desk,
                                 std::unique_ptr<WitnessCarrier> carrier) {
  talk_.emplace(std::move(desk), std::move(carrier));
}

/// Never waits for a witness: entries are durable and tiles visible without them.
Result<void> LedgerThread::talk_to_witnesses() {
  if (!talk_) return {};
  COSHARD_TRY(talk_->step(home_.ledger(), clock_, std::chrono::milliseconds(0)));
  complain();
  return {};
}

void LedgerThread::complain() {
  const std::string complaint = talk_->desk().is_met() ? "" : talk_->desk().complaint();
  if (complaint == complaint_) return;
  complaint_ = complaint;
  if (complaint.empty())
    log(LogLevel::kInfo, "ledger", "witnesses cosign again");
  else
    log(LogLevel::kWarning, "ledger",
        "the checkpoint waits for " + talk_->desk().policy().describe_quorum() + ": " + complaint);
}

/// The last checkpoint of a round that ends: readers with a policy see no other.
Result<void> LedgerThread::await_witnesses() {
  if (!talk_) return {};
  return talk_->await(home_.ledger(), clock_, limits::kWitnessFarewell,
                      "start the coordinator again when the witnesses answer");
}

Result<void> LedgerThread::work(const LedgerRegister& task) {
  COSHARD_TRY(home_.ledger().register_identity(task.certificate));
  gone_.erase(task.certificate.node());
  return {};
}

Result<void> LedgerThread::work(const LedgerGone& task) {
  gone_.insert(task.node);
  return {};
}

Result<void> LedgerThread::work(const LedgerEpochClose& task) {
  const LedgerEpoch epoch = task.finished.epoch;
  // An epoch that was closed before a crash comes again.
  if (epoch.value >= home_.ledger().accounts().epochs().size())
    COSHARD_TRY(home_.ledger().close_epoch(summary_of(task)));
  COSHARD_FAILPOINT("epoch.closed");
  replies_.push_back(LedgerEpochDurable{epoch});
  OpenSettlement& settlement = open_[epoch];
  settlement.deadline = clock_.now() + limits::kSettleTimeout;
  for (const LedgerWorkBatch& batch : std::exchange(settlement.early, {})) COSHARD_TRY(work(batch));
  return post_what_is_covered();
}

Result<void> LedgerThread::work(const LedgerWorkBatch& task) {
  if (task.epoch.value >= home_.ledger().accounts().epochs().size()) {
    std::vector<LedgerWorkBatch>& early = open_[task.epoch].early;
    if (early.size() < limits::kPeersMax && open_.size() <= limits::kOpenEpochsMax)
      early.push_back(task);
    return {};  // it is sent again until it is taken
  }
  const auto admit = [this](const ledger::VerifiedBody& batch) {
    return home_.ledger().admit(batch);
  };
  const Result<LogIndex> index = task.read->and_then(admit);
  if (!index) {
    if (index.error().code == ErrorCode::kUnavailable ||
        index.error().code == ErrorCode::kResourceExhausted)
      return tl::unexpected(index.error());
    // The coordinator's own count stands; the node has had its say. Honest ones end here too: a
    // node that was fenced after its stage had averaged never heard that its last units were
    // committed.
    log(LogLevel::kWarning, "ledger",
        "batch of node " + task.node.short_hex() + " is refused: " + index.error().message);
    if (const auto open = open_.find(task.epoch); open != open_.end())
      open->second.refused.emplace(task.stage, task.node);
  }
  replies_.push_back(
      BatchTaken{task.node, task.epoch, task.stage, crypto::sha256(task.signed_batch)});
  return {};
}

Result<void> LedgerThread::work(const LedgerCheckpoint& task) {
  checkpoints_.push_back(task.record);
  return post_what_is_covered();
}

/// Records checkpoints whose steps the log has closed; later ones wait for their EpochClose. An
/// earlier execution of those steps, which was given up, does not count: their emission would be
/// shared among fewer than there are.
Result<void> LedgerThread::post_what_is_covered() {
  const StepId closed = home_.ledger().accounts().committed_step();
  std::vector<round::CheckpointRecord> later;
  for (const round::CheckpointRecord& record : std::exchange(checkpoints_, {})) {
    if (record.step > closed) {
      later.push_back(record);
      continue;
    }
    std::vector<ledger::ShardHash> shards;
    for (std::uint32_t stage = 0; stage < record.stages.size(); ++stage)
      shards.push_back({StageIndex(stage), record.stages[stage].file_hash});
    if (record.step > home_.ledger().accounts().covered_step())
      COSHARD_TRY(home_.ledger().post(record.step, std::move(shards)));
  }
  checkpoints_ = std::move(later);
  return {};
}

Result<void> LedgerThread::work(const LedgerRollback& task) {
  return home_.ledger().rollback(task.rollback.to_step, task.rollback.next_epoch,
                                 "resumed after the last complete checkpoint");
}

Result<void> LedgerThread::work(const LedgerFinish& task) {
  COSHARD_TRY(settle_what_is_due(true));
  return home_.ledger().burn_rest(task.text);
}

/// What is refused is the asker's affair. What a disk refuses shows when the group is published.
Result<void> LedgerThread::work(const LedgerSubmit& task) {
  const auto submit = [this](const ledger::Asked& asked) {
    return home_.ledger().submit(asked, clock_.wall_ms());
  };
  submissions_.push_back({task.done, task.read->and_then(submit)});
  return {};
}

void LedgerThread::give_up_submissions(const Error& error) {
  for (const Submission& one : std::exchange(submissions_, {})) {
    one.done(fail(ErrorCode::kUnavailable, "the ledger stopped: " + error.message));
  }
}

Result<void> LedgerThread::work(const LedgerTick&) { return {}; }

Result<void> LedgerThread::settle_what_is_due(bool all) {
  const TimePoint now = clock_.now();
  for (auto entry = open_.begin(); entry != open_.end();) {
    const LedgerEpoch epoch = entry->first;
    const bool closed = epoch.value < home_.ledger().accounts().epochs().size();
    const bool due =
        all || now >= entry->second.deadline || (closed && !is_awaited(epoch, entry->second));
    if (!closed || !due) {
      ++entry;
      continue;
    }
    COSHARD_TRY(settle(epoch));
    entry = open_.erase(entry);
  }
  return {};
}

/// Somebody alive still owes a batch of this epoch.
bool LedgerThread::is_awaited(LedgerEpoch epoch, const OpenSettlement& settlement) const {
  const auto missing = home_.ledger().missing_batches(epoch);
  return std::any_of(missing.begin(), missing.end(), [&](const ledger::NodeTotal& total) {
    return !gone_.contains(total.node) && !settlement.refused.contains({total.stage, total.node});
  });
}

Result<void> LedgerThread::settle(LedgerEpoch epoch) {
  using Status = ledger::EpochState::Status;
  COSHARD_ASSIGN(const std::size_t missing, home_.ledger().admit_missing(epoch));
  if (missing > 0)
    log(LogLevel::kInfo, "ledger",
        std::to_string(missing) + " work batches of epoch " + std::to_string(epoch.value) +
            " were handed in for nodes that are gone");
  // Voided by a rollback: credited again once a checkpoint covers its steps, here or by that
  // checkpoint.
  const ledger::EpochState& state = home_.ledger().accounts().epochs()[epoch.value];
  const bool covered = state.close.last_step <= home_.ledger().accounts().covered_step();
  if (state.status == Status::kClosed || (state.status == Status::kVoided && covered))
    COSHARD_TRY(home_.ledger().credit(epoch));
  replies_.push_back(LedgerSettled{epoch});
  return {};
}

}  // namespace coshard::node
