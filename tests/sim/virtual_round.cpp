// The virtual round: see virtual_round.h.
// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/virtual_round.h"

#include <algorithm>
#include <cstdio>
#include <set>

#include "protocol/base/check.h"
#include "tests/sim/junk.h"
#include "tests/sim/trace.h"
#include "tests/sim/virtual_node.h"

namespace coshard::simtest {

using namespace round;  // NOLINT: a test's shell speaks the machine's language throughout

namespace {

constexpr std::chrono::milliseconds kTick{20};

}  // namespace

std::vector<Parameters> reference(const Options& options, std::uint64_t steps) {
  const std::uint32_t stages = options.shape.stages;
  std::vector<Parameters> parameters;
  for (std::uint32_t s = 0; s < stages; ++s)
    parameters.push_back(initial(options.seed, s, options.chunks));
  for (std::uint64_t step = 1; step <= steps; ++step) {
    if (step >= options.not_finite_from && step <= options.not_finite_to) continue;
    std::vector<std::vector<std::uint64_t>> sums(stages,
                                                 std::vector<std::uint64_t>(options.chunks));
    for (std::uint32_t m = 0; m < options.shape.microbatches; ++m) {
      std::vector<std::uint64_t> inputs{tokens_in(options.seed, StepId(step), MicrobatchIndex(m))};
      for (std::uint32_t s = 0; s + 1 < stages; ++s)
        inputs.push_back(forward_of(inputs.back(), parameters[s]));
      std::uint64_t gradient = 0;
      for (std::uint32_t s = stages; s-- > 0;) {
        gradient = backward_of(inputs[s], parameters[s], gradient);
        for (std::uint32_t c = 0; c < options.chunks; ++c)
          sums[s][c] += chunk_gradient(gradient, c);
      }
    }
    for (std::uint32_t s = 0; s < stages; ++s) update(parameters[s], sums[s], StepId(step));
  }
  return parameters;
}

VirtualRound::VirtualRound(Options options, Disks& disks)
    : options_(options),
      disks_(disks),
      rng_(options.seed, disks.journal.size() + 1),
      planted_(options.bug, options.seed) {
  CoordinatorConfig config;
  config.shape = options_.shape;
  config.replicas_max = options_.replicas_max;
  config.steps = options_.steps;
  config.ledger_epoch_steps = options_.ledger_epoch_steps;
  config.optimizer.total_steps = options_.steps;
  config.fingerprint_secret = mix({options_.seed, 77});
  coordinator_ = std::make_unique<Coordinator>(config, disks_.journal);
  const std::uint32_t nodes = options_.shape.stages * options_.shape.replicas;
  for (std::uint32_t i = 0; i < nodes + options_.extra_nodes; ++i)
    nodes_.push_back(std::make_unique<Node>(*this, i));
}

VirtualRound::~VirtualRound() = default;

void VirtualRound::kill_node(std::uint32_t node, Duration at) {
  after(at, [this, node] {
    Node& victim = *nodes_[node];
    if (!may_lose(victim)) return;
    victim.alive = false;
    lose(victim.id);
  });
}

void VirtualRound::freeze_node(std::uint32_t node, Duration at, Duration how_long) {
  after(at, [this, node, how_long] {
    Node& victim = *nodes_[node];
    if (!may_lose(victim)) return;
    victim.frozen_until = now_ + how_long;
    lose(victim.id);
  });
}

void VirtualRound::block(std::uint32_t from, std::uint32_t to, Duration at, Duration how_long) {
  after(at, [this, from, to, how_long] {
    const bool to_desk = to == kCoordinator;
    if (!may_lose(*nodes_[from]) || (!to_desk && !may_lose(*nodes_[to])) || from == to) return;
    const NodeId deaf = to_desk ? coordinator_id() : node_id(to), dumb = node_id(from);
    blocked_[{dumb, deaf}] = now_ + how_long;
    lost_.push_back(dumb);  // either may be given up for it
    if (!to_desk) lost_.push_back(deaf);
    const Duration notice = silence();
    if (notice >= how_long) return;
    after(notice, [this, to_desk, to, dumb] {
      if (to_desk)
        coordinate(PeerLost{dumb, "silent"});
      else
        nodes_[to]->handle(PeerLost{dumb, "silent"});
    });
  });
}

/// One end of a link that is blocked, or was so a moment ago: it may yet be given up for it.
bool VirtualRound::may_be_cut_off(const NodeId& node) const {
  return std::any_of(blocked_.begin(), blocked_.end(), [&](const auto& link) {
    const bool is_end = link.first.first == node || link.first.second == node;
    return is_end && now_ < link.second + 2 * limits::kSilenceMax;
  });
}

Duration VirtualRound::silence() {
  const auto span = (limits::kSilenceMax - limits::kSuspicionMin).count() + 1;
  return limits::kSuspicionMin +
         std::chrono::milliseconds(rng_.below(static_cast<std::uint64_t>(span)));
}

bool VirtualRound::may_lose(const Node& victim) const {
  if (!coordinator_alive_ || finished || victim.ended || !victim.alive) return false;
  if (!sparing_) return true;
  const auto stage = stage_of(victim.index);
  if (!stage) return false;
  return std::any_of(nodes_.begin(), nodes_.end(), [&](const auto& other) {
    return other.get() != &victim && stage_of(other->index) == stage && is_member(other->index) &&
           !away_.contains(other->id) && !may_be_cut_off(other->id);
  });
}

void VirtualRound::start_node(std::uint32_t node, Duration at) {
  late_.insert(node);
  after(at, [this, node] {
    Node& who = *nodes_[node];
    if (!who.alive || !who.started) revive(who);
  });
}

void VirtualRound::revive(Node& node) {
  if (finished || !coordinator_alive_) return;
  if (tracing())
    std::printf("%9.6f %s starts again %s\n", seconds(now_ - TimePoint{}),
                node.id.short_hex().c_str(), node.last_words.c_str());
  node.restart();
}

/// What it had sent before still arrives, with luck; each of the others gives it up at its own
/// time.
void VirtualRound::lose(const NodeId& node) {
  if (tracing())
    std::printf("%9.6f %s dies or freezes\n", seconds(now_ - TimePoint{}),
                node.short_hex().c_str());
  lost_.push_back(node);
  away_.insert(node);
  if (!killed_at) killed_at = now_ - TimePoint{};
  const auto still = [lost = find(node), life = find(node)->life()] {
    return lost->life() == life;  // who has come back meanwhile is heard again
  };
  after(silence(), [this, node, still] {
    if (still()) coordinate(PeerLost{node, "silent"});
  });
  for (const auto& other : nodes_)
    if (other->id != node)
      after(silence(), [&other = *other, node, still] {
        if (still()) other.handle(PeerLost{node, "silent"});
      });
}

void VirtualRound::kill_coordinator(Duration at) {
  after(at, [this] {
    coordinator_alive_ = false;
    if (planted_.is(Bug::kLostRecord)) disks_.journal.pop_back();
    after(limits::kSilenceMax, [this] {
      for (const auto& node : nodes_) node->handle(PeerLost{coordinator_id(), "silent for 4 s"});
    });
  });
}

void VirtualRound::control(ControlVerb verb, Duration at) {
  after(at, [this, verb] { coordinate(Control{verb}); });
}

void VirtualRound::leave(std::uint32_t node, Duration at) {
  after(at, [this, node] { nodes_[node]->handle(LeaveRequested{"asked to"}); });
}

void VirtualRound::run(Duration limit) {
  after(Duration{0}, [this] { execute(coordinator_->start(now_)); });
  for (const auto& node : nodes_)
    if (!late_.contains(node->index) ||
        node->index < options_.shape.stages * options_.shape.replicas)
      after(delay(50'000), [&node] { node->start(); });
  after(kTick, [this] { tick(); });
  while (!queue_.empty() && !over() && errors.empty()) {
    const auto next = queue_.extract(queue_.begin());
    now_ = next.key().first;
    if (now_ - TimePoint{} > limit) return error("not over in time\n" + describe());
    next.mapped()();
    ++events;
  }
}

bool VirtualRound::is_member(std::uint32_t node) const {
  return members_.contains(nodes_[node]->id);
}

bool VirtualRound::over() const {
  if (coordinator_alive_ && !finished) return false;
  return std::all_of(nodes_.begin(), nodes_.end(), [](const auto& node) {
    return !node->alive || !node->started || node->ended;
  });
}

NodeId VirtualRound::node_id(std::uint32_t node) const {
  NodeId id;
  for (std::size_t i = 0; i < id.bytes.size(); ++i)
    id.bytes[i] = static_cast<std::uint8_t>(mix({options_.seed, node, i}));
  return id;
}

NodeId VirtualRound::coordinator_id() const { return node_id(1'000'000); }

std::optional<std::uint32_t> VirtualRound::stage_of(std::uint32_t node) const {
  const auto seat = nodes_[node]->machine->seat();
  return seat ? std::optional(seat->stage.value) : std::nullopt;
}

const Parameters& VirtualRound::parameters_of(std::uint32_t node) const {
  return nodes_[node]->parameters;
}

std::string VirtualRound::describe() const {
  const CoordinatorStatus status = coordinator_->status();
  std::string text = "coordinator: phase " + std::to_string(static_cast<int>(status.phase)) +
                     ", committed " + std::to_string(status.last_step.value) + ", units " +
                     std::to_string(status.units_done) + "/" + std::to_string(status.units_total) +
                     ", waiting for " + status.waiting_for;
  for (const auto& node : nodes_) {
    const Heartbeat beat = node->machine->heartbeat();
    text += "\nnode " + std::to_string(node->index) + " " + node->id.short_hex() +
            (node->alive ? "" : " dead") + ": phase " +
            std::to_string(static_cast<int>(node->machine->phase())) + ", applied " +
            std::to_string(beat.applied_step.value) + ", activity " +
            std::to_string(static_cast<int>(beat.activity)) + ", outstanding " +
            std::to_string(beat.outstanding) + " " + node->last_words;
  }
  return text;
}

// ---- network and time ---------------------------------------------------------------------------

void VirtualRound::after(Duration delay, std::function<void()> what) {
  queue_.emplace(std::pair(now_ + delay, order_++), std::move(what));
}

Duration VirtualRound::delay(std::uint64_t up_to_us) {
  return std::chrono::microseconds(rng_.below(up_to_us) + 1);
}

void VirtualRound::transmit(const NodeId& from, const NodeId& to, Message message,
                            std::uint64_t payload) {
  const bool control = from == coordinator_id() || to == coordinator_id();
  const bool opens = std::holds_alternative<StepOpen>(message);
  if (opens && to == node_id(0) && planted_.is(Bug::kDeafNode)) return;
  if (control && rng_.unit() < options_.control_loss) return;
  if (rng_.unit() < options_.junk) send_junk();
  // A link keeps its order; links are independent of each other.
  TimePoint& last = links_[{from, to}];
  const TimePoint said = from == coordinator_id() ? std::max(now_, written_at_) : now_;
  last = std::max(last, said + delay(rng_.below(20) == 0 ? 200'000 : 10'000));
  if (const auto block = blocked_.find({from, to}); block != blocked_.end())
    last = std::max(last, block->second);
  // What an ended incarnation has said, or what was said to it, ends with its connections.
  const auto lives = [sender = find(from), receiver = find(to)] {
    return std::pair(sender == nullptr ? 0 : sender->life(),
                     receiver == nullptr ? 0 : receiver->life());
  };
  const auto arrive = [this, from, to, message, payload, lives, then = lives()] {
    if (lives() == then) deliver(from, to, message, payload);
  };
  after(last - now_, arrive);
  if (rng_.unit() < options_.duplicates) after(last - now_ + delay(300'000), arrive);
}

void VirtualRound::deliver(const NodeId& from, const NodeId& to, const Message& message,
                           std::uint64_t payload) {
  if (const std::string text = tracing() ? std::visit(Trace{}, message) : ""; !text.empty())
    std::printf("%9.6f %s -> %s %s\n", seconds(now_ - TimePoint{}), from.short_hex().c_str(),
                to.short_hex().c_str(), text.c_str());
  const Node* sender = find(from);
  if (sender != nullptr && !sender->alive && rng_.below(2) == 0) return;
  if (to == coordinator_id()) return coordinate(Received{from, message, {}});
  if (from == coordinator_id() && !coordinator_alive_) return;
  if (Node* node = find(to)) node->receive(from, message, payload);
}

VirtualRound::Node* VirtualRound::find(const NodeId& id) {
  for (const auto& node : nodes_)
    if (node->id == id) return node.get();
  return nullptr;
}

/// From anybody to anybody, the coordinator included; arrives in no order.
void VirtualRound::send_junk() {
  const auto somebody = [this] {
    const auto pick = rng_.below(nodes_.size() + 2);
    return pick == nodes_.size() ? coordinator_id() : node_id(static_cast<std::uint32_t>(pick));
  };
  const NodeId from = somebody(), to = somebody();
  after(delay(20'000),
        [this, from, to, message = junk(rng_, somebody)] { deliver(from, to, message, 0); });
}

void VirtualRound::tick() {
  coordinate(Tick{});
  for (const auto& node : nodes_) node->handle(Tick{});
  after(kTick, [this] { tick(); });
}

// ---- the coordinator's shell --------------------------------------------------------------------

void VirtualRound::coordinate(const CoordinatorEvent& event) {
  if (!coordinator_alive_ || finished) return;
  if (const auto* heard = std::get_if<Received>(&event); heard != nullptr && vouch(*heard)) return;
  execute(coordinator_->on(event, now_));
  if (!sparing_) return;
  const CoordinatorStatus status = coordinator_->status();
  microbatches_repaired = status.microbatches_repaired;
  joined = status.nodes_joined;
  members_.clear();
  for (const auto& node : status.nodes)
    if (!node.member.joining) members_.insert(node.member.node);
  std::erase_if(away_, [this](const NodeId& id) {
    const Node& node = *find(id);
    return node.alive && node.frozen_until <= now_ && members_.contains(id) &&
           node.machine->phase() == ParticipantPhase::kTraining;
  });
}

/// Where a bug is planted: one replica's average passes for that of the whole stage. True: the
/// event has been told in other words.
bool VirtualRound::vouch(const Received& heard) {
  const auto* average = std::get_if<AverageReport>(&heard.message);
  if (average == nullptr || !planted_.strikes(Bug::kStaleMember)) return false;
  for (const auto& node : nodes_)
    if (members_.contains(node->id) && stage_of(node->index) == average->stage.value)
      execute(coordinator_->on(Received{node->id, heard.message, {}}, now_));
  return true;
}

void VirtualRound::execute(CoordinatorActions actions) {
  for (const auto& action : actions) {
    if (witness) witness(action);
    std::visit([this](const auto& what) { execute(what); }, action);
  }
}

void VirtualRound::execute(const Send& action) {
  // Nothing is spoken of a commit before it is written down.
  if (const auto* commit = std::get_if<Commit>(&action.message)) {
    const JournalState journal = replay(disks_.journal);
    if (journal.last_step < commit->scalars.step)
      error("a commit is spoken before it is journaled");
  }
  transmit(coordinator_id(), action.to, action.message, 0);
}

void VirtualRound::execute(const Persist& action) {
  const bool is_step = std::holds_alternative<StepRecord>(action.record);
  if (is_step && planted_.strikes(Bug::kSpeakBeforeWriting)) return;
  disks_.journal.push_back(action.record);
  if (options_.journal_us > 0)
    written_at_ = std::max(written_at_, now_) + delay(options_.journal_us);
}

void VirtualRound::execute(const StepCommitted& action) {
  const StepRecord& record = action.record;
  const RoundShape& shape = options_.shape;
  std::set<std::pair<StageIndex, MicrobatchIndex>> counted;
  for (const auto& unit : record.units)
    if (!counted.emplace(unit.stage, unit.microbatch).second) error("a unit is counted twice");
  if (counted.size() != std::size_t{shape.stages} * shape.microbatches)
    error("a committed step lacks a unit");
  if (record.tokens != shape.microbatches * shape.tokens_per_microbatch)
    error("a committed step has other tokens");
  if (!committed.empty() && record.step() != committed.back().step().next())
    error("a step is committed out of turn");
  committed.push_back(record);
}

void VirtualRound::execute(const EpochFinished& action) {
  epochs.push_back(action);
  after(delay(50'000), [this, epoch = action.epoch] { coordinate(EpochSettled{epoch}); });
}

void VirtualRound::execute(const CheckpointComplete& action) { checkpoints.push_back(action); }

void VirtualRound::execute(const RolledBack& action) { rollbacks.push_back(action); }

/// The coordinator's process ends: a node that missed its last word hears only silence.
void VirtualRound::execute(const RoundFinished& action) {
  finished = action;
  after(limits::kSilenceMax, [this] {
    for (const auto& node : nodes_) node->handle(PeerLost{coordinator_id(), "silent for 4 s"});
  });
}

/// A loss is named to people as soon as it is noted.
void VirtualRound::execute(const Note& action) {
  if (tracing()) std::printf("%9.6f %s\n", seconds(now_ - TimePoint{}), action.text.c_str());
  if (!lost_.empty() && !named_at && action.text.find(killed_name()) != std::string::npos)
    named_at = now_ - TimePoint{};
}

void VirtualRound::execute(const PeerFault& action) {
  error("the coordinator blames " + action.peer.short_hex() + ": " + action.reason);
}

void VirtualRound::error(std::string text) {
  if (options_.junk > 0) return;  // what lies do to the result is not ours to promise
  errors.push_back("at " + std::to_string(seconds(now_ - TimePoint{})) + " s: " + std::move(text));
}

}  // namespace coshard::simtest
