// Events in, actions out, in order.
// SPDX-License-Identifier: Apache-2.0
#include "node/coordinator/net_thread.h"

#include "crypto/hash.h"
#include "node/coordinator/admission.h"
#include "node/coordinator/journal_record.h"
#include "node/round_setup.h"
#include "protocol/base/failpoint.h"
#include "protocol/base/log.h"

namespace coshard::node {

namespace {

CourierHandlers handlers_of(std::function<void(const NodeId&, wire::Opened)> message,
                            std::function<void(const NodeId&, const std::string&)> lost,
                            std::function<void(const transport::PeerEvent&)> link,
                            std::function<void(const NodeId&)> late) {
  return {std::move(message), std::move(lost), std::move(link), std::move(late)};
}

/// A copy's generations are far from those that its original may still come to.
round::CoordinatorConfig machine_config(const CoordinatorSetup& setup, const Clock& clock) {
  round::CoordinatorConfig config = coordinator_config(setup.round, setup.fingerprint_secret);
  config.journal_is_copy = setup.journal_is_copy;
  config.roll_back = setup.roll_back;
  config.stage_patience = setup.stage_patience;
  if (config.move_patience) config.move_patience = setup.move_patience;
  config.admission_patience = setup.admission_patience;
  config.seal_key = [secret = setup.seal_secret](StageIndex stage, StepId step) {
    Bytes which;
    put_le(which, step.value);
    put_le(which, stage.value);
    return crypto::domain_hash("coshard/seal-key/v1", {secret, which});
  };
  if (setup.journal_is_copy) config.generation_min = Generation(clock.wall_ms() / 1000);
  return config;
}

wire::Payload text_payload(const std::string& text) {
  return wire::hashed(share(to_bytes(as_bytes(text))));
}

}  // namespace

CoordinatorNet::CoordinatorNet(CoordinatorSetup setup, Surroundings surroundings,
                               const std::vector<round::JournalRecord>& history)
    : setup_(std::move(setup)),
      at_(surroundings),
      clock_(at_.clock, limits::kSuspicionMin),
      courier_(at_.transport, at_.identity, clock_,
               handlers_of(
                   [this](const NodeId& from, wire::Opened opened) {
                     on_message(from, std::move(opened));
                   },
                   [this](const NodeId& peer, const std::string& reason) { on_lost(peer, reason); },
                   [this](const transport::PeerEvent& event) { on_link(event); },
                   [this](const NodeId& peer) { handle(round::PeerLate{peer}); })),
      machine_(machine_config(setup_, clock_), history) {
  // Who held what when an epoch began that is open still: at least whoever has a seat.
  for (const auto& [node, seat] : round::replay(history).seats)
    holders_[StepId(0)].emplace(seat.stage, node, seat.incarnation);
  welcome_payloads_ = {text_payload(setup_.round_text), wire::hashed(share(setup_.genesis_entry)),
                       text_payload(setup_.manifest_text)};
}

void CoordinatorNet::start() {
  COSHARD_ON(net_);
  courier_.accept_joins();
  at_.ledger.set_reply_handler([this](const LedgerReply& reply) {
    // Refused once the reactor has stopped: then nobody waits for an answer.
    (void)at_.reactor.post([this, reply] { on_ledger(reply); });
  });
  const Generation generation = machine_.status().generation;
  courier_.speak_as(setup_.network, Incarnation(generation.value), generation);
  execute(machine_.start(clock_.now()));
  at_.reactor.every(limits::kUnitReportInterval, [this] { tick(); });
  at_.reactor.every(limits::kHeartbeatInterval, [this] { heartbeat(); });
  publish();
}

// ---- what comes in ------------------------------------------------------------------------------

void CoordinatorNet::on_link(const transport::PeerEvent& event) {
  if (event.kind == transport::PeerEventKind::kConnected)
    channels_[event.peer] = event.curve_public;
  else if (!courier_.knows(event.peer))
    channels_.erase(event.peer);
}

void CoordinatorNet::on_message(const NodeId& from, wire::Opened opened) {
  COSHARD_ON(net_);
  if (std::holds_alternative<JoinRequest>(opened.message)) {
    join(from, std::move(opened));
    return;
  }
  if (const auto* batch = std::get_if<WorkBatchSubmission>(&opened.message)) {
    if (!at_.ledger.submit(
            LedgerWorkBatch{from, batch->epoch, batch->stage, *opened.payloads.front().bytes}))
      log(LogLevel::kWarning, "coordinator",
          "cs-ledger is behind; a work batch waits for its repeat");
    return;
  }
  handle(round::Received{from, std::move(opened.message), {}});
}

void CoordinatorNet::join(const NodeId& from, wire::Opened opened) {
  const auto channel = channels_.find(from);
  const auto certificate = admit_certificate(
      from, opened, channel == channels_.end() ? std::nullopt : std::optional(channel->second));
  if (!certificate) {
    log(LogLevel::kDebug, "coordinator", certificate.error().message);
    courier_.fault(from, certificate.error().message);
    return;
  }
  if (is_outdated(from, opened)) return;
  certificates_.insert_or_assign(from, *certificate);
  handle(round::Received{from, std::move(opened.message), certificate->encode()});
}

/// A node that has its seat shows what was signed with our key: by a newer coordinator, whom it
/// obeys, or a commit that this journal lacks. Then nothing may be decided here. (A commit that was
/// rolled back is no such: who shows it has slept meanwhile.)
bool CoordinatorNet::is_outdated(const NodeId& from, const wire::Opened& opened) {
  const round::CoordinatorStatus status = machine_.status();
  StepId proved = status.newest_step;
  for (std::size_t i = 1; i < opened.payloads.size(); ++i) {
    const auto word =
        wire::read_word(*opened.payloads[i].bytes, setup_.network, at_.identity.node());
    if (!word) {
      courier_.fault(from, word.error().message);
      return true;
    }
    if (word->header.generation > status.generation)
      stop_on({ErrorCode::kFailedPrecondition, "a newer coordinator, generation " +
                                                   std::to_string(word->header.generation.value) +
                                                   ", has taken over; this one is generation " +
                                                   std::to_string(status.generation.value)});
    if (const auto* commit = std::get_if<Commit>(&word->message))
      proved = std::max(proved, commit->scalars.step);
  }
  const StepId claimed = std::get<JoinRequest>(opened.message).seat.committed;
  if (claimed > proved) courier_.fault(from, "claims a commit without proof");
  if (claimed <= proved && proved > status.newest_step)
    stop_on({ErrorCode::kFailedPrecondition,
             "node " + from.hex() + " has a signed commit of step " + std::to_string(proved.value) +
                 ", this journal ends with step " + std::to_string(status.newest_step.value) +
                 ": start with the newest copy of the journal; where there is none, --roll-back "
                 "goes on after the last complete checkpoint, step " +
                 std::to_string(status.resumable_step.value)});
  return over_ || claimed > proved;
}

void CoordinatorNet::on_lost(const NodeId& peer, const std::string& reason) {
  COSHARD_ON(net_);
  // Its connection stays, if it has one: a node that was only frozen learns that it was given up.
  handle(round::PeerLost{peer, reason});
}

void CoordinatorNet::run(const round::MemberGone& action) {
  const Member& gone = action.member;
  if (!action.expected) {
    outcome_.lost.push_back(
        "node " + gone.node.hex() + " (stage " + std::to_string(gone.stage.value) + ", replica " +
        std::to_string(gone.replica.value) + ") at " + gone.endpoint + ": " + action.why);
    log(LogLevel::kError, "coordinator", "lost " + outcome_.lost.back());
  }
  holders_[machine_.status().last_step.next()].emplace(gone.stage, gone.node, gone.incarnation);
  (void)at_.ledger.submit(LedgerGone{gone.node});
}

void CoordinatorNet::on_ledger(const LedgerReply& reply) {
  COSHARD_ON(net_);
  if (const auto* taken = std::get_if<BatchTaken>(&reply)) {
    // The same message back is the acknowledgement: the batch is in the log.
    const wire::Payload receipt = wire::hashed(share(to_bytes(taken->body_hash)));
    (void)courier_.send(taken->node, WorkBatchSubmission{taken->epoch, taken->stage},
                        std::span(&receipt, 1));
  } else if (const auto* settled = std::get_if<LedgerSettled>(&reply)) {
    handle(round::EpochSettled{settled->epoch});
  } else if (const auto* durable = std::get_if<LedgerEpochDurable>(&reply)) {
    const Bytes record = encode_record(round::EpochClosed{durable->epoch});
    if (const auto written = at_.journal.append(std::span(&record, 1)); !written)
      stop_on(written.error());
  } else if (const auto* view = std::get_if<LedgerView>(&reply)) {
    at_.progress.ledger(*view);
  } else {
    stop_on(std::get<LedgerFailed>(reply).error);
  }
}

void CoordinatorNet::control(round::ControlVerb verb) {
  COSHARD_ON(net_);
  handle(round::Control{verb});
}

void CoordinatorNet::name_reader(const crypto::NodeCertificate& certificate) {
  COSHARD_ON(net_);
  const NodeId reader = certificate.node();
  const auto changed = readers_.name({reader, Incarnation(1), certificate.encode()}, clock_.now());
  if (!changed) return log(LogLevel::kWarning, "coordinator", changed.error().message);
  if (!*changed) return;
  log(LogLevel::kInfo, "coordinator", "reader " + reader.hex() + " copies the state of all stages");
  announce_readers();
}

void CoordinatorNet::announce_readers() {
  for (const round::NodeStatus& node : machine_.status().nodes)
    (void)courier_.send(node.member.node, readers_.list());
}

void CoordinatorNet::tick() {
  COSHARD_ON(net_);
  courier_.tick();
  handle(round::Tick{});
  if (leave_by_) leave_when_quiet();
}

void CoordinatorNet::heartbeat() {
  COSHARD_ON(net_);
  const Heartbeat alive{machine_.status().last_step, NodeActivity::kIdle, 0, 0, 0, 0};
  for (const round::NodeStatus& node : machine_.status().nodes)
    (void)courier_.send(node.member.node, alive);
  readers_.expire(clock_.now());
  if (!readers_.empty()) announce_readers();
  (void)at_.ledger.submit(LedgerTick{});
  publish();
}

// ---- what goes out ------------------------------------------------------------------------------

void CoordinatorNet::handle(const round::CoordinatorEvent& event) {
  events_.push_back(event);
  if (executing_) return;
  while (!events_.empty() && !over_) {
    const round::CoordinatorEvent next = std::move(events_.front());
    events_.pop_front();
    execute(machine_.on(next, clock_.now()));
  }
}

void CoordinatorNet::execute(round::CoordinatorActions actions) {
  executing_ = true;
  for (std::size_t at = 0; at < actions.size() && !over_; ++at) {
    if (!persist_from(actions, at)) break;
    std::visit([this](const auto& action) { run(action); }, actions[at]);
  }
  executing_ = false;
}

/// Writes the records from `at` on that follow each other, in one transaction; false when the
/// journal failed: nothing that comes after may be spoken.
bool CoordinatorNet::persist_from(round::CoordinatorActions& actions, std::size_t& at) {
  std::vector<Bytes> records;
  std::size_t next = at;
  for (; next < actions.size(); ++next) {
    const auto* persist = std::get_if<round::Persist>(&actions[next]);
    if (persist == nullptr) break;
    // An epoch counts as closed once the ledger has it durably (on_ledger).
    if (!std::holds_alternative<round::EpochClosed>(persist->record))
      records.push_back(encode_record(persist->record));
  }
  if (next == at) return true;
  at = next - 1;
  if (records.empty()) return true;
  COSHARD_FAILPOINT("journal.write");
  const Result<void> written = at_.journal.append(records);
  if (!written) stop_on(written.error());
  COSHARD_FAILPOINT("journal.written");
  return written.has_value();
}

void CoordinatorNet::run(const round::Send& action) {
  if (const auto* message = std::get_if<Welcome>(&action.message)) {
    welcome(action.to, *message);
    return;
  }
  (void)courier_.send(action.to, action.message);
  if (std::holds_alternative<StageClosed>(action.message)) COSHARD_FAILPOINT("close.half_sent");
  if (std::holds_alternative<Commit>(action.message)) COSHARD_FAILPOINT("commit.half_sent");
}

void CoordinatorNet::welcome(const NodeId& to, const Welcome& message) {
  if (!let_speak(to, message.incarnation)) return;
  Welcome complete = message;
  complete.ledger_url = setup_.ledger_url;
  (void)courier_.send(to, complete, welcome_payloads_);
}

void CoordinatorNet::run(const round::MemberBack& action) {
  (void)let_speak(action.member.node, action.member.incarnation);
}

/// False: the ledger does not take its keys, and everything stops.
bool CoordinatorNet::let_speak(const NodeId& node, Incarnation incarnation) {
  const crypto::NodeCertificate& certificate = certificates_.at(node);
  courier_.admit({.node = node,
                  .curve_public = certificate.curve_public,
                  .incarnation = incarnation,
                  .generation_min = std::nullopt});
  if (at_.ledger.submit(LedgerRegister{certificate})) return true;
  stop_on({ErrorCode::kResourceExhausted, "cs-ledger does not keep up with registrations"});
  return false;
}

/// Those who hold a stage now took part in `step`, together with those who were noted before.
void CoordinatorNet::note_holders(StepId step) {
  for (const round::NodeStatus& node : machine_.status().nodes)
    if (!node.member.joining)
      holders_[step].emplace(node.member.stage, node.member.node, node.member.incarnation);
}

void CoordinatorNet::run(const round::StepCommitted& action) {
  note_holders(action.record.step());
  if (const auto written = at_.progress.committed(action.record); !written)
    stop_on(written.error());
  publish();
}

void CoordinatorNet::run(const round::EpochFinished& action) {
  note_holders(action.last_step);
  std::set<std::tuple<StageIndex, NodeId, Incarnation>> holders;
  while (!holders_.empty() && holders_.begin()->first <= action.last_step)
    holders.merge(holders_.extract(holders_.begin()).mapped());
  LedgerEpochClose close{action, {}};
  for (const auto& [stage, node, incarnation] : holders)
    close.members.push_back({stage, node, incarnation});
  if (!at_.ledger.submit(std::move(close)))
    stop_on({ErrorCode::kResourceExhausted, "cs-ledger does not keep up with the steps"});
}

void CoordinatorNet::run(const round::CheckpointComplete& action) {
  log(LogLevel::kInfo, "coordinator",
      "checkpoint of step " + std::to_string(action.record.step.value) + " is complete");
  if (!at_.ledger.submit(LedgerCheckpoint{action.record}))
    stop_on({ErrorCode::kResourceExhausted, "cs-ledger does not keep up with checkpoints"});
}

void CoordinatorNet::run(const round::RolledBack& action) {
  if (!at_.ledger.submit(LedgerRollback{action}))
    stop_on({ErrorCode::kResourceExhausted, "cs-ledger takes no rollback"});
}

void CoordinatorNet::run(const round::RoundFinished& action) {
  outcome_.finished = action;
  log(LogLevel::kInfo, "coordinator", "the round is over: " + action.text);
  if (action.reason == EndReason::kFinished)
    (void)at_.ledger.submit(LedgerFinish{action.last_step, action.text});
  publish();
  leave_by_ = clock_.now() + limits::kFarewellTimeout;
}

void CoordinatorNet::run(const round::Note& action) {
  log(LogLevel::kInfo, "coordinator", action.text);
}

void CoordinatorNet::run(const round::PeerFault& action) {
  courier_.fault(action.peer, action.reason);
}

// ---- the end ------------------------------------------------------------------------------------

void CoordinatorNet::stop_on(const Error& error) {
  if (outcome_.error) return;
  outcome_.error = error;
  log(LogLevel::kError, "coordinator", error.message);
  over_ = true;
  at_.reactor.stop();
}

/// Nodes close when they have heard the end; then nobody is left to wait for.
void CoordinatorNet::leave_when_quiet() {
  bool quiet = true;
  for (const round::NodeStatus& node : machine_.status().nodes)
    if (at_.transport.connected(node.member.node)) quiet = false;
  if (!quiet && clock_.now() < *leave_by_) return;
  publish();
  over_ = true;
  at_.reactor.stop();
}

void CoordinatorNet::publish() {
  if (at_.http == nullptr) return;
  std::map<NodeId, std::string> accounts;
  for (const auto& [node, certificate] : certificates_)
    accounts[node] = certificate.account().hex();
  const round::CoordinatorStatus status = machine_.status();
  const ProgressView view{status,   machine_.counters(), courier_,
                          accounts, outcome_.finished,   setup_.resume_command};
  at_.http->publish(at_.progress.status_json(view, clock_.now()), at_.progress.metrics_text(view));
}

}  // namespace coshard::node
