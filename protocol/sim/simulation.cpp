// See simulation.h.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/sim/simulation.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <numbers>
#include <set>
#include <utility>
#include <variant>
#include <vector>

#include "protocol/base/check.h"
#include "protocol/base/rng.h"
#include "protocol/sim/box.h"
#include "protocol/sim/event_queue.h"

namespace coshard::sim {

using namespace round;  // NOLINT: a shell speaks its machine's language throughout

namespace {

constexpr std::uint32_t kCoordinator = ~std::uint32_t{0};
/// A machine that trains needs time to pass only to say again what may have been lost, and here
/// nothing is: so it is told seldom. One that joins or ends counts its waits.
constexpr Duration kTrainingTick = std::chrono::minutes(1);
constexpr std::uint64_t kEventsPerProgress = 1 << 16;
/// A program that was fenced starts anew.
constexpr Duration kReturnsAfter = std::chrono::seconds(1);
/// A saved state is copied in so many pieces.
constexpr std::uint32_t kPieces = 64;

/// Boxes have no disks here: a stage that lost all of its own is lost for good.
CoordinatorConfig impatient(CoordinatorConfig config) {
  config.stage_patience = {};
  return config;
}

/// A random number of who is asked, and who it is.
NodeId id_of(std::uint64_t seed, std::uint32_t index) {
  NodeId id;
  const PhiloxBlock block = philox(seed, index, 0x1D);
  std::memcpy(id.bytes.data(), block.data(), sizeof block);
  std::memcpy(id.bytes.data() + sizeof block, &index, sizeof index);
  return id;
}
std::uint32_t index_of(const NodeId& id) {
  std::uint32_t index = 0;
  std::memcpy(&index, id.bytes.data() + sizeof(PhiloxBlock), sizeof index);
  return index;
}

/// The draws of one box: its speed, and then how long it stays, each time that it comes.
Rng draws_of(std::uint64_t seed, std::uint32_t index) { return Rng(seed, 0x10000 + index); }

double normal(Rng& rng) {
  const double radius = std::sqrt(-2 * std::log(1 - rng.unit()));
  return radius * std::cos(2 * std::numbers::pi * rng.unit());
}

Duration from_seconds(double seconds) {
  return Duration(static_cast<std::int64_t>(std::min(seconds, 1e9) * 1e9));
}

class Simulation final : public BoxWorld {
 public:
  Simulation(const Scenario& scenario, LoadMeter* meter);
  RunFigures run(const ProgressFn& progress);

 private:
  struct Delivery {
    std::uint32_t from, to;
    std::uint64_t from_birth, to_birth;  ///< what an ended program said, or was told, is void
    Message message;
    std::uint64_t bytes = 0;  ///< that have to come through the receiver's line
    TimePoint left{};         ///< when the last of it left the sender's line
  };
  struct Posted {
    std::uint32_t box;
    std::uint64_t birth;
    ParticipantEvent event;
  };
  /// A file on its way to a box, piece by piece.
  struct Copy {
    std::uint32_t to;
    std::uint64_t birth;
    FetchState wanted;
    CopyOver over;
    TimePoint began;
    std::uint32_t asked = 0, came = 0;  ///< pieces
  };
  using Call = std::function<void()>;
  using Event = std::variant<Delivery, Posted, Call>;

  // BoxWorld.
  TimePoint now() const override { return now_; }
  void post(std::uint32_t box, TimePoint at, ParticipantEvent event) override {
    queue_.push(at, Posted{box, birth_of(box), std::move(event)});
  }
  void send(std::uint32_t from, const NodeId& to, Message message, std::uint64_t bytes) override;
  void copy(std::uint32_t box, const FetchState& wanted, CopyOver over) override;

  void happen(Delivery& delivery);
  void happen(Posted& posted) {
    if (posted.birth == birth_of(posted.box)) boxes_[posted.box]->handle(posted.event);
  }
  void happen(Call& call) { call(); }
  std::uint64_t birth_of(std::uint32_t index) const {
    return index == kCoordinator ? 0 : boxes_[index]->birth;
  }
  Delivery delivery(std::uint32_t from, std::uint32_t to, Message message) const {
    return {from, to, birth_of(from), birth_of(to), std::move(message), 0, now_};
  }
  void after(Duration delay, Call call) { queue_.push(now_ + delay, std::move(call)); }

  void coordinate(const CoordinatorEvent& event);
  void execute(CoordinatorActions actions);
  void execute(Send& action);
  void execute(const Persist& action);  // its time: execute(CoordinatorActions)
  void execute(const StepCommitted&);
  void execute(const EpochFinished& action);
  void execute(const CheckpointComplete&) {}
  void execute(const RolledBack&) { ++figures_.rollbacks; }
  void execute(const RoundFinished& action) { figures_.finished = action; }
  void execute(const MemberGone&) {}
  void execute(const MemberBack&) {}
  void execute(const Note&) {}
  void execute(const PeerFault&) { ++figures_.faults; }

  void begin_training();
  void come(std::uint32_t index);
  void live(std::uint32_t index);
  void lose(std::uint32_t index);
  void tell_silence(const Box& box);
  void tick();
  void beat();
  void return_later(std::uint32_t index);
  void send_piece(const std::shared_ptr<Copy>& copy, std::uint32_t holder);
  void piece_came(const std::shared_ptr<Copy>& copy, std::uint32_t holder, TimePoint left);
  bool over() const;
  RunFigures figures() const;
  double flops_redone() const;

  const Scenario& scenario_;
  LoadMeter* meter_;
  TimePoint now_{};
  EventQueue<Event> queue_;
  Coordinator coordinator_;
  const NodeId coordinator_id_;
  TimePoint speaks_at_{};  ///< nothing is said before what was said earlier is durable
  std::vector<std::unique_ptr<Box>> boxes_;
  std::vector<Rng> draws_;
  std::uint64_t births_ = 0;
  std::set<std::uint32_t> returning_;  ///< boxes that will start their program again
  double capacity_ = 0;                ///< FLOP/s of the boxes at the start
  bool training_ = false;
  TimePoint ticked_at_{};  ///< everybody
  std::uint64_t commits_ = 0;
  TimePoint first_commit_{}, last_commit_{};
  double redone_before_ = 0;  ///< by who is gone, less what came before the first commit
  RunFigures figures_;
};

Simulation::Simulation(const Scenario& scenario, LoadMeter* meter)
    : scenario_(scenario),
      meter_(meter),
      coordinator_(impatient(scenario.round), {}),
      coordinator_id_(id_of(scenario.seed, kCoordinator)) {
  const RoundShape& shape = scenario_.round.shape;
  COSHARD_CHECK_OP(scenario_.stages.size(), ==, std::size_t{shape.stages});
  figures_.seats = shape.stages * shape.replicas;
  for (std::uint32_t index = 0; index < figures_.seats; ++index) {
    come(index);
    capacity_ += boxes_[index]->flops_per_second;
  }
}

RunFigures Simulation::run(const ProgressFn& progress) {
  execute(coordinator_.start(now_));
  after(Duration{0}, [this] { tick(); });
  after(Duration{0}, [this] { beat(); });
  while (!over()) {
    auto [at, event] = queue_.pop();
    now_ = at;
    std::visit([this](auto& what) { happen(what); }, event);
    if (++figures_.events % kEventsPerProgress == 0 && progress)
      progress({seconds(now_ - TimePoint{}), commits_, figures_.events});
  }
  return figures();
}

bool Simulation::over() const {
  return figures_.finished || commits_ > scenario_.steps ||
         now_ - TimePoint{} >= scenario_.duration || figures_.events >= scenario_.events_max;
}

RunFigures Simulation::figures() const {
  RunFigures figures = figures_;
  figures.seconds_simulated = seconds(now_ - TimePoint{});
  figures.steps = commits_ == 0 ? 0 : commits_ - 1;
  figures.seconds = seconds(last_commit_ - first_commit_);
  if (figures.seconds > 0) {
    const double could = capacity_ * figures.seconds;
    figures.utilisation = static_cast<double>(figures.steps) * scenario_.step_flops() / could;
    figures.redone = (flops_redone() + redone_before_) / could;
  }
  const CoordinatorStatus status = coordinator_.status();
  figures.members_at_end = static_cast<std::uint32_t>(status.nodes.size());
  figures.microbatches_repaired = status.microbatches_repaired;
  figures.joins = status.nodes_joined;
  for (const auto& box : boxes_) figures.faults += box->faults();
  figures.out_of_events = figures.events >= scenario_.events_max;
  if (meter_ != nullptr && commits_ > 0) figures.load = meter_->load(now_ - first_commit_);
  return figures;
}

double Simulation::flops_redone() const {
  double sum = 0;
  for (const auto& box : boxes_) sum += box->flops_redone();
  return sum;
}

// ---- boxes --------------------------------------------------------------------------------------

/// A box starts; one that was here under this index before is forgotten.
void Simulation::come(std::uint32_t index) {
  const Boxes& boxes = scenario_.boxes;
  if (index == boxes_.size()) {
    boxes_.emplace_back();
    draws_.push_back(draws_of(scenario_.seed, index));
  } else if (boxes_[index]) {
    redone_before_ += boxes_[index]->flops_redone();
  }
  returning_.erase(index);
  Rng& rng = draws_[index];
  const double speed = index < boxes.speeds.size() ? boxes.speeds[index] : 1;
  const double flops = boxes.flops_per_second * speed * std::exp(boxes.spread * normal(rng));
  boxes_[index] = std::make_unique<Box>(index, ++births_, id_of(scenario_.seed, index),
                                        coordinator_id_, flops, scenario_, *this);
  after(from_seconds(rng.unit()), [this, index] { boxes_[index]->start(); });
}

/// It stays for a time that knows nothing of how long it has been here.
void Simulation::live(std::uint32_t index) {
  const double rate = scenario_.boxes.losses_per_hour;
  if (rate <= 0) return;
  const double hours = -std::log(1 - draws_[index].unit()) / rate;
  after(from_seconds(hours * 3600), [this, index] { lose(index); });
}

void Simulation::lose(std::uint32_t index) {
  Box& box = *boxes_[index];
  if (box.alive()) tell_silence(box);
  box.lose(now_);
  ++figures_.boxes_lost;
  if (scenario_.boxes.replaced_after <= Duration{0}) return;
  after(scenario_.boxes.replaced_after, [this] {
    const auto next = static_cast<std::uint32_t>(boxes_.size());
    come(next);
    live(next);
  });
}

/// Nobody says that it goes: coordinator and neighbours each find out by its silence.
void Simulation::tell_silence(const Box& box) {
  Rng& rng = draws_[box.index];
  const auto silence = [&rng] {
    const auto span = static_cast<double>((limits::kSilenceMax - limits::kSuspicionMin).count());
    return limits::kSuspicionMin + from_seconds(rng.unit() * span / 1e3);
  };
  const auto seat = box.machine().seat();
  if (!seat) return;
  after(silence(), [this, id = box.id] { coordinate(PeerLost{id, "silent"}); });
  for (const auto& other : boxes_) {
    const auto place = other->machine().seat();
    if (!place || !other->alive() || other->index == box.index) continue;
    const std::uint32_t a = seat->stage.value, b = place->stage.value;
    if (std::max(a, b) - std::min(a, b) > 1) continue;  // they know nothing of each other
    post(other->index, now_ + silence(), PeerLost{box.id, "silent"});
  }
}

void Simulation::tick() {
  coordinate(Tick{});
  after(limits::kUnitReportInterval, [this] { tick(); });
}

/// What shells do every half second.
void Simulation::beat() {
  const bool all = now_ - ticked_at_ >= kTrainingTick;
  if (all) ticked_at_ = now_;
  for (std::uint32_t index = 0; index < boxes_.size(); ++index) {
    Box& box = *boxes_[index];
    if (box.ended()) return_later(index);
    if (!box.alive()) continue;
    if (all || box.machine().phase() != ParticipantPhase::kTraining) {
      if (box.machine().seat()) box.handle(Received{coordinator_id_, Heartbeat{}, {}});
      box.handle(Tick{});
    }
    if (!training_ || !box.machine().seat()) continue;
    if (meter_ != nullptr) meter_->sent(Heartbeat{});
    Delivery heartbeat = delivery(index, kCoordinator, box.heartbeat());
    happen(heartbeat);
  }
  after(limits::kHeartbeatInterval, [this] { beat(); });
}

/// A box that was sent away, or fenced, starts its program again.
void Simulation::return_later(std::uint32_t index) {
  if (!returning_.insert(index).second) return;
  const bool refused = boxes_[index]->refused();
  if (refused) ++figures_.joins_refused;
  const Duration pause = refused ? scenario_.boxes.replaced_after : kReturnsAfter;
  if (pause <= Duration{0}) return;
  after(pause, [this, index] {
    if (boxes_[index]->ended()) come(index);
  });
}

// ---- saved states -------------------------------------------------------------------------------

/// Holders send pieces, each the next one as soon as it has sent the one before.
void Simulation::copy(std::uint32_t box, const FetchState& wanted, CopyOver over) {
  const auto copy = std::make_shared<Copy>(Copy{box, birth_of(box), wanted, std::move(over), now_});
  for (const NodeId& holder : wanted.holders) send_piece(copy, index_of(holder));
  if (copy->asked == 0) post(box, now_, copy->over("nobody has this state any more"));
}

void Simulation::send_piece(const std::shared_ptr<Copy>& copy, std::uint32_t holder) {
  Box& from = *boxes_[holder];
  if (copy->asked == kPieces || !from.alive()) return;
  ++copy->asked;
  const std::uint64_t bytes = copy->wanted.file.bytes / kPieces;
  const TimePoint left = from.uplink.take(now_, bytes);
  after(left + scenario_.boxes.latency - now_, [this, copy, holder, left, bytes] {
    const TimePoint here = boxes_[copy->to]->downlink.take_flowing(now_, bytes);
    after(here - now_, [this, copy, holder, left] { piece_came(copy, holder, left); });
  });
}

void Simulation::piece_came(const std::shared_ptr<Copy>& copy, std::uint32_t holder,
                            TimePoint left) {
  Box& box = *boxes_[copy->to];
  if (!box.alive() || box.birth != copy->birth) return;
  if (!boxes_[holder]->had_sent(left)) {  // it went with its piece: another one sends that
    const std::uint32_t asked = --copy->asked;
    for (const NodeId& other : copy->wanted.holders)
      if (copy->asked == asked) send_piece(copy, index_of(other));
    if (copy->asked == asked && asked == copy->came)
      box.handle(copy->over("nobody has this state any more"));
    return;
  }
  const std::uint64_t bytes = copy->wanted.file.bytes;
  if (++copy->came == kPieces) return box.handle(copy->over(""));
  send_piece(copy, holder);
  box.handle(StateProgress{copy->came * (bytes / kPieces), bytes, now_ - copy->began});
}

// ---- network ------------------------------------------------------------------------------------

void Simulation::send(std::uint32_t from, const NodeId& to, Message message, std::uint64_t bytes) {
  const TimePoint left = boxes_[from]->uplink.take(now_, bytes);
  Delivery sent = delivery(from, index_of(to), std::move(message));
  sent.bytes = bytes;
  sent.left = left;
  queue_.push(left + scenario_.boxes.latency, std::move(sent));
}

void Simulation::happen(Delivery& delivery) {
  const bool void_by_now =
      delivery.from_birth != birth_of(delivery.from) || delivery.to_birth != birth_of(delivery.to);
  const bool from_box = delivery.from != kCoordinator;
  if (void_by_now || (from_box && !boxes_[delivery.from]->had_sent(delivery.left))) return;
  if (delivery.to == kCoordinator) {
    if (meter_ != nullptr) meter_->received(delivery.message);
    return coordinate(Received{boxes_[delivery.from]->id, std::move(delivery.message), {}});
  }
  Box& box = *boxes_[delivery.to];
  if (const TimePoint here = box.downlink.take_flowing(now_, delivery.bytes); here > now_) {
    delivery.bytes = 0;
    return queue_.push(here, std::move(delivery));
  }
  const NodeId& from = from_box ? boxes_[delivery.from]->id : coordinator_id_;
  box.handle(Received{from, std::move(delivery.message), {}});
}

// ---- the coordinator's shell --------------------------------------------------------------------

void Simulation::coordinate(const CoordinatorEvent& event) {
  if (figures_.finished) return;
  const TimePoint begin = meter_ == nullptr ? TimePoint{} : meter_->cpu_now();
  CoordinatorActions actions = coordinator_.on(event, now_);
  if (meter_ != nullptr) {
    const bool losing = std::any_of(actions.begin(), actions.end(), [](const auto& action) {
      return std::holds_alternative<MemberGone>(action);
    });
    meter_->worked_since(begin, losing);
  }
  execute(std::move(actions));
}

void Simulation::execute(CoordinatorActions actions) {
  speaks_at_ = std::max(speaks_at_, now_);
  bool writing = false;  // records that follow each other are one transaction
  for (auto& action : actions) {
    const bool persists = std::holds_alternative<Persist>(action);
    if (persists && !writing) speaks_at_ += scenario_.journal;
    writing = persists;
    std::visit([this](auto& what) { execute(what); }, action);
  }
}

void Simulation::execute(Send& action) {
  if (!training_ && std::holds_alternative<StepOpen>(action.message)) begin_training();
  if (meter_ != nullptr) meter_->sent(action.message);
  queue_.push(speaks_at_ + scenario_.boxes.latency,
              delivery(kCoordinator, index_of(action.to), std::move(action.message)));
}

void Simulation::execute(const Persist& action) {
  const auto* kept = std::get_if<ShardKept>(&action.record);
  if (kept == nullptr) return;
  ++figures_.shards_kept;
  figures_.bytes_kept += kept->sealed.bytes;
}

void Simulation::begin_training() {
  training_ = true;
  for (const auto& box : boxes_) live(box->index);
}

void Simulation::execute(const StepCommitted&) {
  last_commit_ = now_;
  if (++commits_ > 1) return;
  first_commit_ = now_;
  redone_before_ -= flops_redone();
  if (meter_ != nullptr) meter_->reset();
}

void Simulation::execute(const EpochFinished& action) {
  after(2 * scenario_.boxes.latency,
        [this, epoch = action.epoch] { coordinate(EpochSettled{epoch}); });
}

}  // namespace

RunFigures simulate(const Scenario& scenario, LoadMeter* meter, const ProgressFn& progress) {
  return Simulation(scenario, meter).run(progress);
}

}  // namespace coshard::sim
