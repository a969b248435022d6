// Events in, actions out, in order.
// SPDX-License-Identifier: Apache-2.0
#include "node/daemon/net_thread.h"

#include "crypto/signed_payload.h"
#include "node/checkpoint_path.h"
#include "node/daemon/checkpoint_folder.h"
#include "node/round_setup.h"
#include "protocol/base/log.h"

namespace coshard::node {

namespace {

constexpr std::chrono::seconds kStatusInterval{1};

round::ParticipantConfig participant_config(const NodeSetup& setup, const NodeId& self) {
  round::ParticipantConfig config;
  config.self = self;
  config.coordinator = setup.invitation.coordinator.node;
  config.join.endpoint = setup.endpoint;
  config.join.software = std::string(kSoftwareVersion);
  config.join.device = setup.device_name;
  config.join.memory_bytes = setup.site.memory_bytes;
  config.join.flops_per_second = setup.site.flops_per_second;
  config.join.card = setup.site.device.kind == shard::DeviceKind::kCuda;
  config.join.checkpoints = held_checkpoints(setup.site.checkpoints);
  config.coordinator_patience = setup.patience;
  return config;
}

std::string whole_seconds(Duration duration) {
  return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(duration).count()) + " s";
}

std::string text_of(const wire::Payload& payload) { return std::string(as_text(*payload.bytes)); }

}  // namespace

NodeNet::NodeNet(NodeSetup setup, Surroundings surroundings)
    : setup_(std::move(setup)),
      at_(surroundings),
      clock_(at_.clock, limits::kSuspicionMin),
      courier_(
          at_.transport, at_.identity, clock_,
          {[this](const NodeId& from, wire::Opened opened) { on_message(from, std::move(opened)); },
           [this](const NodeId& peer, const std::string& reason) { on_lost(peer, reason); },
           [this](const transport::PeerEvent& event) { on_link(event); }}),
      runner_(
          at_.engine, setup_.site,
          {.self = at_.identity.node(),
           .post = [this](round::ParticipantEvent event) { events_.push_back(std::move(event)); },
           .send =
               [this](const NodeId& to, const Message& message,
                      std::span<const wire::Payload> payloads) {
                 return courier_.send(to, message, payloads);
               },
           .sent = [this](const NodeId& to, const round::TensorKey& key,
                          const KeptTensor& tensor) { receipts_.sent(to, key, tensor); },
           .used = [this](const round::TensorKey& key,
                          const KeptTensor& tensor) { receipts_.used(key, tensor); },
           .updated = [this](StepId step,
                             const Fingerprint& digest) { receipts_.set_weights(step, digest); },
           .behind = [this](BulkThread::Job job) { return at_.writer.submit(std::move(job)); }}),
      receipts_(at_.identity, clock_, setup_.directory / "receipts",
                {[this](const NodeId& to, const Message& message,
                        std::span<const wire::Payload> payloads) {
                   return courier_.send(to, message, payloads);
                 },
                 [this](LedgerEpoch epoch) { events_.push_back(round::EpochSettled{epoch}); }}),
      states_(setup_.site.checkpoints, clock_, state_ports()),
      copy_(
          [this](StepId step, StageIndex stage) {
            return checkpoint_path(setup_.site.checkpoints, step, stage);
          },
          clock_, copy_ports()),
      keeper_(setup_.site.checkpoints, clock_, copy_ports()),
      machine_(participant_config(setup_, at_.identity.node())),
      status_(setup_.directory / "status.json", clock_),
      certificate_(wire::hashed(share(at_.identity.certificate().encode()))) {}

void NodeNet::start() {
  COSHARD_ON(net_);
  admit_coordinator();
  at_.reactor.every(limits::kUnitReportInterval, [this] { tick(); });
  at_.reactor.every(limits::kHeartbeatInterval, [this] { heartbeat(); });
  at_.reactor.every(kStatusInterval, [this] { write_status(); });
  write_status();
}

/// The invitation names the coordinator's keys. Its incarnation is its generation, which only it
/// knows: a signed newer one replaces the old one, and no older one is obeyed again.
void NodeNet::admit_coordinator() {
  const transport::PeerAddress& address = setup_.invitation.coordinator;
  courier_.admit({.node = address.node,
                  .curve_public = address.curve_public,
                  .incarnation = Incarnation(generation_.value),
                  .newer_incarnation_allowed = true,
                  .generation_min = std::nullopt,
                  .words_kept = true,
                  .session_bound = false});
  if (const auto dialled = at_.transport.connect(address); !dialled)
    outcome_.coordinator_trouble = dialled.error().message;
}

// ---- what comes in ------------------------------------------------------------------------------

void NodeNet::on_link(const transport::PeerEvent& event) {
  if (event.peer != setup_.invitation.coordinator.node) return;
  const std::string& where = setup_.invitation.coordinator.endpoint;
  if (event.kind == transport::PeerEventKind::kConnected) {
    outcome_.coordinator_trouble.clear();
    log(LogLevel::kInfo, "node", "connected to the coordinator at " + where);
    return handle(round::CoordinatorDialled{});
  }
  // Said once per cause, not once per attempt.
  const std::string trouble = "cannot reach the coordinator at " + where + " (" + event.reason +
                              "); trying again; check that it runs and that the address is right";
  if (trouble != outcome_.coordinator_trouble) log(LogLevel::kWarning, "node", trouble);
  outcome_.coordinator_trouble = trouble;
}

void NodeNet::on_lost(const NodeId& peer, const std::string& reason) {
  COSHARD_ON(net_);
  if (states_.is_reader(peer)) return states_.lost(peer);
  if (peer == setup_.invitation.coordinator.node) {
    // It may come back from its journal; until then nothing is given up and the machine asks.
    if (machine_.seat() && !std::exchange(coordinator_gone_, true))
      log(LogLevel::kWarning, "node",
          "the coordinator is gone: " + reason + "; going on with what is here, and asking for " +
              whole_seconds(setup_.patience) + " whether it is back");
    return admit_coordinator();
  }
  receipts_.lost(peer);
  handle(round::PeerLost{peer, reason});
}

void NodeNet::on_message(const NodeId& from, wire::Opened opened) {
  COSHARD_ON(net_);
  if (const auto* welcome = std::get_if<Welcome>(&opened.message))
    if (!on_welcome(opened, *welcome)) return;
  if (for_readers(from, opened)) return;
  if (for_receipts(from, opened)) {
    drain();
    return;
  }
  if (from == setup_.invitation.coordinator.node) {
    follow_generation(opened.header.generation);
    overhear(opened.message);
  }
  const Message message = opened.message;
  runner_.set_incoming(from, &message, &opened.payloads);
  handle(round::Received{from, std::move(opened.message), {}});
  runner_.set_incoming(from, nullptr, nullptr);
}

/// Takes the round's network, rules and data from what came with the Welcome; false when they do
/// not fit the invitation.
bool NodeNet::on_welcome(const wire::Opened& opened, const Welcome& welcome) {
  const NodeId& coordinator = setup_.invitation.coordinator.node;
  if (opened.header.sender != coordinator || opened.payloads.size() != 3) {
    courier_.fault(opened.header.sender, "a Welcome that is none");
    return false;
  }
  const Bytes& entry = *opened.payloads[1].bytes;
  const NetworkId network{crypto::network_id(entry)};
  const auto genesis = genesis_in(entry);
  const bool expected = !setup_.invitation.network || *setup_.invitation.network == network;
  if (!genesis || !expected || opened.header.network != network ||
      genesis->coordinator != coordinator.bytes) {
    courier_.fault(coordinator, "a Welcome to another network than it was sent in");
    return false;
  }
  if (machine_.phase() != round::ParticipantPhase::kJoining) return true;
  runner_.set_package({text_of(opened.payloads[0]), entry, text_of(opened.payloads[2])});
  courier_.speak_as(network, welcome.incarnation, opened.header.generation);
  ledger_ = {welcome.ledger_url, network};
  if (const auto round = parse_round(text_of(opened.payloads[0]), "the coordinator's round file"))
    states_.hold({round->model.name, round->model.weights == Weights::kOpen, welcome.stage});
  receipts_.take_seat({*genesis, network, coordinator, welcome.stage, welcome.incarnation});
  if (const auto complaint = clock_complaint(clock_.wall_ms(), founded_ms(entry)))
    log(LogLevel::kWarning, "node", *complaint);
  log(LogLevel::kInfo, "node",
      "admitted to " + genesis->model + ": stage " + std::to_string(welcome.stage.value) +
          ", replica " + std::to_string(welcome.replica.value));
  return true;
}

StateServerPorts NodeNet::state_ports() {
  return {.admit =
              [this](const crypto::NodeCertificate& certificate, Incarnation incarnation) {
                courier_.admit({.node = certificate.node(),
                                .curve_public = certificate.curve_public,
                                .incarnation = incarnation,
                                .generation_min = std::nullopt});
              },
          .dismiss = [this](const NodeId& reader) { courier_.dismiss(reader); },
          .send =
              [this](const NodeId& to, const Message& message,
                     std::span<const wire::Payload> payloads) {
                return courier_.send(to, message, payloads);
              },
          .in_flight = [this](const NodeId& to) { return at_.transport.bytes_in_flight(to); },
          // Refused once the reactor has stopped: then nobody waits for a piece.
          .post = [this](std::function<void()> task) { (void)at_.reactor.post(std::move(task)); }};
}

StateClientPorts NodeNet::copy_ports() {
  return {
      .self = at_.identity.node(),
      .send = [this](const NodeId& to,
                     const Message& message) { return courier_.send(to, message); },
      .connected = [this](const NodeId& peer) { return at_.transport.connected(peer); },
      .post = [this](round::ParticipantEvent event) { handle(std::move(event)); },
      .fault = [this](const NodeId& peer,
                      const std::string& reason) { courier_.fault(peer, reason); },
      .run_later = [this](std::function<void()> task) { (void)at_.reactor.post(std::move(task)); }};
}

/// Another coordinator has taken over its journal, or the same one has come back from it.
void NodeNet::follow_generation(Generation generation) {
  coordinator_gone_ = false;
  if (generation <= generation_) return;
  const bool first = generation_ == Generation(0);
  generation_ = generation;
  const auto seat = machine_.seat();
  if (!seat || !courier_.network()) return;
  courier_.speak_as(*courier_.network(), seat->incarnation, generation);
  if (!first)
    log(LogLevel::kInfo, "node",
        "the coordinator is back, as generation " + std::to_string(generation.value));
}

/// Messages of those who copy the state, about them, and to this node when it copies itself; the
/// machine need not see them.
bool NodeNet::for_readers(const NodeId& from, const wire::Opened& opened) {
  const Message& message = opened.message;
  const NodeId& coordinator = setup_.invitation.coordinator.node;
  if (const auto* list = std::get_if<ReaderList>(&message); list && from == coordinator) {
    states_.on_readers(*list, [&](const NodeId& node) {
      return node == coordinator || node == at_.identity.node() || stages_.contains(node);
    });
    return true;
  }
  if (const auto* ask = std::get_if<StateAsk>(&message)) {
    states_.on_ask(from, *ask);
    if (!states_.serves(from)) courier_.fault(from, "asks for state and is no reader");
    return true;
  }
  if (const auto* piece = std::get_if<StatePiece>(&message)) {
    const SharedBytes& bytes = opened.payloads.front().bytes;
    if (!keeper_.on_piece(from, *piece, bytes)) copy_.on_piece(from, *piece, bytes);
    return true;
  }
  if (const auto* refusal = std::get_if<StateRefused>(&message)) {
    if (!keeper_.on_refused(from, *refusal)) copy_.on_refused(from, *refusal);
    return true;
  }
  if (!states_.is_reader(from)) return false;
  if (!std::holds_alternative<Heartbeat>(message))
    courier_.fault(from, "a reader that does more than read");
  return true;
}

/// Messages of the ledger's side, which the machine need not see.
bool NodeNet::for_receipts(const NodeId& from, const wire::Opened& opened) {
  Result<void> taken;
  if (const auto* window = std::get_if<ReceiptWindow>(&opened.message))
    taken = receipts_.on_window(from, *window, *opened.payloads.front().bytes);
  else if (const auto* reply = std::get_if<ReceiptCountersigned>(&opened.message))
    taken = receipts_.on_countersigned(from, *reply, *opened.payloads.front().bytes);
  else if (const auto* batch = std::get_if<WorkBatchSubmission>(&opened.message);
           batch != nullptr && from == setup_.invitation.coordinator.node)
    receipts_.batch_taken(*batch);
  else
    return false;
  if (!taken) courier_.fault(from, taken.error().message);
  return true;
}

/// What the coordinator decides also tells which work counted, and in which ledger epoch.
void NodeNet::overhear(const Message& message) {
  if (const auto* closed = std::get_if<StageClosed>(&message)) receipts_.stage_closed(*closed);
  if (const auto* commit = std::get_if<Commit>(&message)) receipts_.committed(*commit);
}

void NodeNet::engine_ready() {
  COSHARD_ON(net_);
  runner_.turn();
  drain();
}

void NodeNet::leave(const std::string& reason) {
  COSHARD_ON(net_);
  handle(round::LeaveRequested{reason});
}

void NodeNet::tick() {
  COSHARD_ON(net_);
  courier_.tick();
  runner_.turn();
  copy_.tick();
  keeper_.tick();
  receipts_.tick(machine_.coordinator_silence(clock_.now()).has_value());
  handle(round::Tick{});
  if (leave_by_) leave_when_quiet();
}

// ---- what goes out ------------------------------------------------------------------------------

void NodeNet::handle(round::ParticipantEvent event) {
  events_.push_back(std::move(event));
  drain();
}

void NodeNet::drain() {
  if (executing_) return;
  while (!events_.empty()) {
    const round::ParticipantEvent next = std::move(events_.front());
    events_.pop_front();
    execute(machine_.on(next, clock_.now()));
  }
}

void NodeNet::execute(round::ParticipantActions actions) {
  executing_ = true;
  for (const round::ParticipantAction& action : actions)
    std::visit([this](const auto& known) { run(known); }, action);
  executing_ = false;
}

void NodeNet::run(const round::SendMessage& action) {
  std::vector<wire::Payload> payloads;
  if (const auto* request = std::get_if<JoinRequest>(&action.message)) {
    payloads.push_back(certificate_);
    const auto& words = courier_.words();
    if (request->seat.incarnation != Incarnation(0))
      payloads.insert(payloads.end(), words.begin(), words.end());
  }
  (void)courier_.send(action.to, action.message, payloads);
}

void NodeNet::run(const round::UseTable& action) {
  const auto seat = machine_.seat();
  COSHARD_CHECK(seat.has_value());
  std::set<NodeId> present, joiners;
  for (const Member& member : action.table.members) {
    present.insert(member.node);
    if (member.joining && member.stage == seat->stage) joiners.insert(member.node);
    if (member.node != at_.identity.node()) admit_member(member, seat->stage.value);
  }
  for (const auto& [node, stage] : std::map(stages_)) {
    if (present.contains(node)) continue;
    courier_.dismiss(node);
    receipts_.lost(node);
    neighbours_.erase(node);
    stages_.erase(node);
  }
  states_.set_joiners(std::move(joiners));
  states_.set_members(neighbours_);
  write_status();
}

/// Nodes of neighbouring stages and of our own exchange tensors; of two, the smaller id dials.
void NodeNet::admit_member(const Member& member, std::uint32_t own_stage) {
  const std::uint32_t low = std::min(own_stage, member.stage.value);
  const std::uint32_t high = std::max(own_stage, member.stage.value);
  if (high - low > 1) return;
  const auto certificate = crypto::NodeCertificate::decode(member.certificate);
  if (!certificate || !certificate->verify() || certificate->node() != member.node) {
    courier_.fault(setup_.invitation.coordinator.node, "a table with a false certificate");
    return;
  }
  courier_.admit({.node = member.node,
                  .curve_public = certificate->curve_public,
                  .incarnation = member.incarnation,
                  .generation_min = std::nullopt});
  neighbours_.insert(member.node);
  stages_[member.node] = member.stage;
  if (at_.identity.node() < member.node)
    (void)at_.transport.connect({member.node, member.endpoint, certificate->curve_public});
}

void NodeNet::run(const round::DropStep& action) {
  receipts_.dropped(action.step);
  runner_.run(action);
}

void NodeNet::run(const round::SettleEpoch& action) { receipts_.settle(action.epoch); }

void NodeNet::run(const round::PeerFault& action) { courier_.fault(action.peer, action.reason); }

void NodeNet::run(const round::Ended& action) {
  outcome_.ended = action;
  log(LogLevel::kInfo, "node", "the round is over: " + action.text);
  write_status();
  leave_by_ = clock_.now() + limits::kFarewellTimeout;
}

void NodeNet::heartbeat() {
  COSHARD_ON(net_);
  Heartbeat alive = machine_.heartbeat();
  const RunnerCounters& done = runner_.counters();
  alive.tokens_per_second = status_.tokens_per_second(done.tokens_done);
  alive.boundary_bytes_sent = done.boundary_bytes_sent;
  alive.boundary_tokens = done.boundary_tokens;
  if (machine_.seat()) (void)courier_.send(setup_.invitation.coordinator.node, alive);
  for (const NodeId& neighbour : neighbours_) (void)courier_.send(neighbour, alive);
  states_.heartbeat(alive);
}

void NodeNet::write_status() {
  Heartbeat state = machine_.heartbeat();
  state.tokens_per_second = status_.tokens_per_second(runner_.counters().tokens_done);
  StatusView view{.node = at_.identity.node(),
                  .account = at_.identity.account(),
                  .phase = machine_.phase(),
                  .seat = machine_.seat(),
                  .heartbeat = state,
                  .runner = runner_.counters(),
                  .receipts = receipts_.counters(),
                  .courier = courier_,
                  .links = stages_,
                  .engine_busy = at_.engine.busy(),
                  .kept_bytes = runner_.store().bytes(),
                  .ledger = ledger_,
                  .model = runner_.plan() ? runner_.plan()->round.model.name : "",
                  .held = runner_.plan() ? runner_.plan()->held : "",
                  .waiting_for = outcome_.coordinator_trouble,
                  .waits = machine_.waits()};
  if (view.waiting_for.empty() && view.phase == round::ParticipantPhase::kJoining)
    view.waiting_for = "the coordinator's answer";
  if (view.waiting_for.empty() && view.phase == round::ParticipantPhase::kCatchingUp)
    view.waiting_for =
        copy_.progress().empty() ? "the steps that came meanwhile" : copy_.progress();
  if (const auto silence = machine_.coordinator_silence(clock_.now()); silence)
    view.waiting_for = "the coordinator to come back: silent for " + whole_seconds(*silence) +
                       ", waited for " + whole_seconds(setup_.patience) +
                       (view.waiting_for.empty() ? "" : "; " + view.waiting_for);
  status_.write(view);
}

/// Everything said has left, or nobody takes it any more.
void NodeNet::leave_when_quiet() {
  std::size_t waiting = at_.transport.bytes_in_flight(setup_.invitation.coordinator.node);
  for (const NodeId& neighbour : neighbours_) waiting += at_.transport.bytes_in_flight(neighbour);
  if (waiting > 0 && clock_.now() < *leave_by_) return;
  write_status();
  at_.reactor.stop();
}

}  // namespace coshard::node
