// The virtual round: see virtual_round.h.
// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/virtual_round.h"

#include <algorithm>
#include <cstdio>
#include <set>

#include "protocol/base/check.h"
#include "tests/sim/junk.h"
#include "tests/sim/trace.h"
#include "tests/sim/virtual_desk.h"
#include "tests/sim/virtual_node.h"

namespace coshard::simtest {

using namespace round;  // NOLINT: a test's shell speaks the machine's language throughout

namespace {

constexpr std::chrono::milliseconds kTick{20};

}  // namespace

std::vector<Parameters> reference(const Options& options, std::uint64_t steps,
                                  const std::set<std::uint64_t>& skipped) {
  const std::uint32_t stages = options.shape.stages;
  std::vector<Parameters> parameters;
  for (std::uint32_t s = 0; s < stages; ++s)
    parameters.push_back(initial(options.seed, s, options.chunks));
  for (std::uint64_t step = 1; step <= steps; ++step) {
    if (step >= options.not_finite_from && step <= options.not_finite_to) continue;
    if (skipped.contains(step)) continue;
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
      clock_rng_(options.seed, 0xC10C + disks.journal.size()),
      planted_(options.bug, options.seed) {
  config_.shape = options_.shape;
  config_.replicas_max = options_.replicas_max;
  config_.stage_patience = options_.stage_patience;
  if (options_.may_move) config_.move_patience = std::chrono::seconds(2);
  config_.steps = options_.steps;
  config_.ledger_epoch_steps = options_.ledger_epoch_steps;
  config_.optimizer.total_steps = options_.steps;
  config_.fingerprint_secret = mix({options_.seed, 77});
  open_desk(disks_.journal, false);
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
    if (options_.disks_go_too) {
      disks_.files[node].clear();
      disks_.sealed[node].clear();
    }
    lose(victim.id);
  });
}

void VirtualRound::averaged(const NodeId& first) {
  if (kills_averaging_ == 0 || rng_.below(4) != 0) return;
  for (const auto& node : nodes_) {
    if (node->id == first || stage_of(node->index) != stage_of(find(first)->index)) continue;
    if (!is_member(node->index) || !may_lose(*node)) continue;
    --kills_averaging_;
    node->alive = false;
    return lose(node->id);
  }
}

void VirtualRound::freeze_node(std::uint32_t node, Duration at, Duration how_long) {
  after(at, [this, node, how_long] {
    Node& victim = *nodes_[node];
    if (!may_lose(victim)) return;
    victim.frozen_until = now_ + how_long;
    if (options_.own_clocks) victim.box.leap(any_leap(how_long, clock_rng_));
    lose(victim.id);
  });
}

void VirtualRound::leap_clock(std::uint32_t node, Duration at, Duration how_far) {
  after(at, [this, node, how_far] {
    BoxClock& box = node == kCoordinator ? desk().box : nodes_[node]->box;
    if (options_.own_clocks) box.leap(how_far);
  });
}

void VirtualRound::slow_node(std::uint32_t node, Duration at, Duration how_long, double factor) {
  after(at, [this, node, factor] { nodes_[node]->slowness = factor; });
  after(at + how_long, [this, node] { nodes_[node]->slowness = 1; });
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
        desk().coordinate(PeerLost{dumb, "silent"});
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
  if (finished || victim.ended || !victim.alive) return false;
  const bool quiet = desk().machine->phase() >= CoordinatorPhase::kEnding;
  if (!sparing_) return !watching_ || (!quiet && victim.frozen_until <= now_);
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

void VirtualRound::stay_away(std::uint32_t node) { nodes_[node]->alive = false; }

void VirtualRound::revive(Node& node) {
  if (finished) return;
  if (!desk().alive)
    return opening_ > 0 ? after(delay(500'000), [this, &node] { revive(node); }) : void();
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
    if (!still()) return;
    for (const auto& each : desks_) each->coordinate(PeerLost{node, "silent"});
  });
  for (const auto& other : nodes_)
    if (other->id != node)
      after(silence(), [&other = *other, node, still] {
        if (still()) other.handle(PeerLost{node, "silent"});
      });
}

void VirtualRound::kill_coordinator(Duration at) {
  after(at, [this] {
    desk().alive = false;
    if (planted_.is(Bug::kLostRecord)) disks_.journal.pop_back();
  });
}

void VirtualRound::restart_coordinator(Duration at, Duration later) {
  after(at, [this, later] {
    if (finished) return;
    desk().doom([this, later] {
      ++opening_;
      after(later, [this] {
        --opening_;
        open_desk(disks_.journal, false);
        desk().start();
        for (const auto& node : nodes_)
          after(delay(1'000'000), [this, &node = *node] { dial(node, desks_.size() - 1); });
      });
    });
  });
}

void VirtualRound::freeze_coordinator(Duration at, Duration how_long) {
  after(at, [this, how_long] { desk().freeze(how_long); });
}

void VirtualRound::split_coordinator(Duration at, Duration between) {
  after(at, [this, between] {
    if (finished) return;
    copy_ = disks_.journal;
    open_desk(copy_, true);
    desk().start();
    for (const auto& node : nodes_)
      for (std::uint64_t changes = 1 + 2 * rng_.below(3); changes > 0; --changes)
        after(changes * delay(static_cast<std::uint64_t>(between.count() / 1000)),
              [this, &node = *node] { dial(node, node.desk == 0 ? 1 : 0); });
  });
}

void VirtualRound::open_desk(std::vector<JournalRecord>& journal, bool is_copy) {
  CoordinatorConfig config = config_;
  config.journal_is_copy = is_copy;
  if (is_copy) config.generation_min = Generation(1000);
  desks_.push_back(std::make_unique<Desk>(*this, std::move(config), journal, desks_.size()));
}

/// Its connection leads to another coordinator now; that of before hears that it has ended.
void VirtualRound::dial(Node& node, std::size_t desk) {
  const std::size_t before = std::exchange(node.desk, desk);
  if (before != desk && node.alive && desks_[before]->alive) {
    lost_.push_back(node.id);
    desks_[before]->coordinate(PeerLost{node.id, "its connection ended"});
  }
  node.handle(CoordinatorDialled{});
}

/// No two nodes ever go on from a step with different commits of it.
void VirtualRound::applied(const Node& node, const CommitScalars& scalars) {
  const auto [first, fresh] = applied_.emplace(scalars.step, scalars);
  if (!fresh && first->second != scalars)
    error("node " + std::to_string(node.index) + " applies another commit of step " +
          std::to_string(scalars.step.value) + " than others have");
}

void VirtualRound::control(ControlVerb verb, Duration at) {
  after(at, [this, verb] { desk().coordinate(Control{verb}); });
}

void VirtualRound::leave(std::uint32_t node, Duration at) {
  after(at, [this, node] { nodes_[node]->handle(LeaveRequested{"asked to"}); });
}

void VirtualRound::run(Duration limit) {
  after(Duration{0}, [this] { desk().start(); });
  for (const auto& node : nodes_)
    if (!late_.contains(node->index) ||
        node->index < options_.shape.stages * options_.shape.replicas)
      after(delay(50'000), [&node] { node->start(); });
  after(kTick, [this] { tick(); });
  while (!queue_.empty() && !over() && errors.empty()) {
    const auto next = queue_.extract(queue_.begin());
    now_ = next.key().first;
    if (standstill_ && now_ - TimePoint{} > *standstill_) return;
    if (now_ - TimePoint{} > limit) return error("not over in time\n" + describe());
    next.mapped()();
    ++events;
  }
}

bool VirtualRound::over() const {
  if ((desk().alive || opening_ > 0) && !finished) return false;
  return std::all_of(nodes_.begin(), nodes_.end(), [](const auto& node) {
    const bool asks = node->machine->phase() == ParticipantPhase::kJoining;  // nobody will answer
    return !node->alive || !node->started || node->ended || asks;
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
  const CoordinatorStatus status = desk().machine->status();
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

BoxClock VirtualRound::new_clock() {
  return options_.own_clocks ? BoxClock(now_, clock_rng_) : BoxClock(now_);
}

/// Where boxes have one clock, processes see all of its time: machines have to bear that as well.
node::AwakeClock VirtualRound::process_clock(const BoxClock& box) {
  const bool sees_all = !options_.own_clocks || planted_.is(Bug::kCountsSleep);
  return {box, sees_all ? Duration::max() : limits::kSuspicionMin};
}

// ---- network and time ---------------------------------------------------------------------------

void VirtualRound::after(Duration delay, std::function<void()> what) {
  queue_.emplace(std::pair(now_ + delay, order_++), std::move(what));
}

Duration VirtualRound::delay(std::uint64_t up_to_us) {
  return std::chrono::microseconds(rng_.below(up_to_us) + 1);
}

/// Where it is planted that a unit counts as given back although its node goes on with it.
void VirtualRound::claim_relieved(Holdings& holdings) {
  for (HeldUnit& unit : holdings.units) {
    const bool open = unit.counts && unit.progress >= UnitProgress::kInput &&
                      unit.progress < UnitProgress::kBackward;
    if (!open || !planted_.strikes(Bug::kKeepsRelieved)) continue;
    unit.counts = false;
    unit.relieved = true;
    unit.progress = UnitProgress::kDone;
  }
}

void VirtualRound::transmit(const NodeId& from, const NodeId& to, Message message,
                            std::uint64_t payload) {
  const bool control = from == coordinator_id() || to == coordinator_id();
  if (auto* holdings = std::get_if<Holdings>(&message);
      holdings != nullptr && planted_.strikes(Bug::kEmptyHoldings))
    holdings->units.clear();
  if (auto* holdings = std::get_if<Holdings>(&message); holdings != nullptr)
    claim_relieved(*holdings);
  const bool opens = std::holds_alternative<StepOpen>(message);
  if (opens && to == node_id(0) && planted_.is(Bug::kDeafNode)) return;
  if (control && rng_.unit() < options_.control_loss) return;
  const Node* const node = find(from == coordinator_id() ? to : from);
  const std::size_t desk = control && node != nullptr ? node->desk : 0;
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
  auto then = lives();
  if (from == coordinator_id() && heard_lives_.contains(to)) then.second = heard_lives_.at(to);
  const auto arrive = [this, from, to, message, payload, lives, then, desk, said] {
    if (lives() != then) return;
    if (from == coordinator_id() && !desks_[desk]->has_spoken(said)) return;
    // What was under way on a connection that ended is gone.
    if (const Node* receiver = find(to == coordinator_id() ? from : to);
        receiver != nullptr && (from == coordinator_id() || to == coordinator_id()) &&
        receiver->desk != desk)
      return;
    deliver(from, to, message, payload);
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
  if (to == coordinator_id()) {
    if (sender != nullptr) heard_lives_[from] = sender->life();
    Desk& listener = *desks_[sender == nullptr ? 0 : sender->desk];
    return sender != nullptr && listener.is_outdated(*sender, message)
               ? void(listener.alive = false)
               : listener.coordinate(Received{from, message, {}});
  }
  Node* const node = find(to);
  if (node == nullptr) return;
  if (from == coordinator_id()) {  // the fence that wire::open() is in the programs
    const Desk& speaker = *desks_[node->desk];
    if (speaker.generation() < node->generation && !planted_.is(Bug::kOldGeneration)) return;
    node->generation = std::max(node->generation, speaker.generation());
  }
  node->receive(from, message, payload);
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
  for (const auto& each : desks_) each->tick();
  for (const auto& node : nodes_) node->tick();
  after(kTick, [this] { tick(); });
}

void VirtualRound::error(std::string text) {
  if (options_.junk > 0) return;  // what lies do to the result is not ours to promise
  errors.push_back("at " + std::to_string(seconds(now_ - TimePoint{})) + " s: " + std::move(text));
}

}  // namespace coshard::simtest
