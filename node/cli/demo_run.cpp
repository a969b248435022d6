// See demo_run.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/cli/demo_run.h"

#include <sched.h>

#include <algorithm>
#include <csignal>
#include <vector>

#include "node/cli/coordinator_process.h"
#include "node/cli/exit_code.h"
#include "node/progress.h"
#include "node/signals.h"

namespace coshard::cli {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kLookInterval{250};
constexpr milliseconds kReapInterval{50};
/// What an ordered stop may take before processes are made to end: the coordinator saves, settles
/// the ledger and says goodbye; nodes need it for the last checkpoint only.
constexpr seconds kOrderedStop{30};
constexpr seconds kNodeStop{15};
/// What the coordinator may take to end a round by itself after a process died: it needs up to 5 s
/// to notice, then saves.
constexpr seconds kFailureGrace{20};
constexpr std::size_t kTailLines = 15;
/// What a demo waits for a stage's last node to thaw, or for another to join in its place.
constexpr seconds kStagePatience{60};
/// A frozen node wakes well after the others have given it up.
constexpr seconds kFrozen{8};

/// All cores, divided among the nodes.
int threads_per_node(std::uint32_t nodes) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  const int count = sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
  return std::max(1, count / static_cast<int>(nodes));
}

class DemoRun {
 public:
  DemoRun(const DemoPlan& plan, std::vector<Disturbance> disturbances, node::Signals& signals,
          std::FILE* say)
      : plan_(plan),
        disturbances_(std::move(disturbances)),
        somebody_comes_(std::ranges::any_of(
            disturbances_,
            [](const Disturbance& it) { return it.kind != Disturbance::Kind::kKill; })),
        signals_(signals),
        printer_(say, node::Terminal::of(say)),
        say_(say) {}
  ~DemoRun() { stop_all(seconds{0}, seconds{0}); }
  DemoRun(const DemoRun&) = delete;
  DemoRun& operator=(const DemoRun&) = delete;

  Result<void> start();
  DemoEnd follow();

 private:
  Result<void> start_node(std::uint32_t number);
  bool look();
  void disturb();
  bool disturb(const Disturbance& disturbance);
  const char* consequence(const Disturbance& disturbance) const;
  bool join(const Disturbance& disturbance);
  ChildProcess* node_at(const DemoSeat& wanted);
  CoordinatorLaunch launch() const;
  void bring_back_coordinator();
  void thaw(bool all);
  bool was_disturbed(const ChildProcess& node) const;
  DemoEnd interrupted();
  DemoEnd paused();
  DemoEnd ended();
  std::string explain(ChildProcess& died, int status) const;
  ChildProcess* culprit();
  bool wait_all(seconds limit);
  void stop_all(seconds ordered, seconds nodes);

  struct Disturbed {
    ChildProcess* process;
    std::optional<Clock::time_point> frozen_at;  ///< until it is woken
  };
  const DemoPlan& plan_;
  std::vector<Disturbance> disturbances_;  ///< to come
  const bool somebody_comes_;              ///< after a stage was lost, or never
  std::vector<Disturbed> disturbed_;
  node::Signals& signals_;
  node::ProgressPrinter printer_;
  std::FILE* say_;
  std::optional<RunningCoordinator> coordinator_;
  std::vector<ChildProcess> nodes_;
  std::optional<Clock::time_point> failed_at_;
  std::optional<node::RoundStatus> last_;
};

CoordinatorLaunch DemoRun::launch() const {
  return {plan_.round_file,
          plan_.dir,
          "tcp://127.0.0.1:0",
          "",
          "127.0.0.1:0",
          true,
          somebody_comes_ ? kStagePatience : seconds{0}};
}

Result<void> DemoRun::start() {
  COSHARD_ASSIGN(RunningCoordinator coordinator, start_coordinator(launch()));
  coordinator_.emplace(std::move(coordinator));
  nodes_.reserve(plan_.nodes() + plan_.joiners);  // disturbed_ points into it
  for (std::uint32_t i = 1; i <= plan_.nodes(); ++i) COSHARD_TRY(start_node(i));
  return {};
}

Result<void> DemoRun::start_node(std::uint32_t number) {
  COSHARD_ASSIGN(const auto program, sibling_program("coshard-node"));
  const std::string name = "node-" + std::to_string(number);
  const auto dir = plan_.dir / "nodes" / name;
  SpawnRequest request{name, program, {}, plan_.dir / "logs" / (name + ".log")};
  request.arguments = {"--join",        coordinator_->invitation,
                       "--dir",         dir.string(),
                       "--key",         (plan_.dir / "keys" / (name + ".key")).string(),
                       "--data",        plan_.data.string(),
                       "--checkpoints", (plan_.dir / "checkpoints").string(),
                       "--device",      plan_.device,
                       "--threads",     std::to_string(threads_per_node(plan_.nodes())),
                       "--tflops",      "1"};  // one machine: seats go by the order of coming
  request.dies_with_us = true;
  COSHARD_ASSIGN(ChildProcess node, ChildProcess::spawn(request));
  nodes_.push_back(std::move(node));
  return {};
}

/// One look at the coordinator and the children; false once the coordinator has ended.
bool DemoRun::look() {
  if (auto status = ask_status(coordinator_->file.url)) {
    last_ = std::move(*status);
    printer_.show(*last_, Clock::now());
    disturb();
  }
  thaw(false);
  if (const ChildProcess* failed = failed_at_ ? nullptr : culprit()) {
    failed_at_ = Clock::now();
    printer_.leave();
    std::fprintf(say_, "%s ended; the round stops\n", failed->name().c_str());
  }
  if (failed_at_ && Clock::now() - *failed_at_ > kFailureGrace) stop_all(kOrderedStop, kNodeStop);
  return !coordinator_->process.exit_status();
}

void DemoRun::disturb() {
  // A round that waits for a lost stage commits no step: whoever is to join comes now.
  const bool stuck = last_->state == "waiting" && !disturbed_.empty();
  std::erase_if(disturbances_, [&](const Disturbance& disturbance) {
    const bool joins = disturbance.kind == Disturbance::Kind::kJoin;
    return (last_->step >= disturbance.step || (joins && stuck)) && disturb(disturbance);
  });
}

bool DemoRun::join(const Disturbance& disturbance) {
  const auto started = start_node(static_cast<std::uint32_t>(nodes_.size()) + 1);
  printer_.leave();
  if (!started)
    std::fprintf(say_, "could not start another node: %s\n", started.error().message.c_str());
  else
    std::fprintf(say_, "%s asks to join after step %llu, for stage %u or where nodes are fewer\n",
                 nodes_.back().name().c_str(), static_cast<unsigned long long>(last_->step),
                 disturbance.seat->stage);
  return true;
}

/// Who sits there: nobody, for now.
ChildProcess* DemoRun::node_at(const DemoSeat& wanted) {
  const auto seat = std::ranges::find_if(last_->nodes, [&](const node::RoundStatus::Node& node) {
    return node.stage == wanted.stage && node.replica == wanted.replica;
  });
  if (seat == last_->nodes.end()) return nullptr;
  std::string name;
  for (const auto& [account, owner] : plan_.owner_names)
    if (account.hex() == seat->account) name = owner;
  const auto node = std::ranges::find(nodes_, name, &ChildProcess::name);
  return node == nodes_.end() ? nullptr : &*node;
}

const char* DemoRun::consequence(const Disturbance& disturbance) const {
  if (!disturbance.seat) return "the nodes keep what they have";
  const bool last = std::ranges::count(last_->nodes, disturbance.seat->stage,
                                       &node::RoundStatus::Node::stage) == 1;
  return last ? "the round goes back to its last checkpoint and waits for another"
              : "the round goes on without it";
}

/// False while nobody holds that seat.
bool DemoRun::disturb(const Disturbance& disturbance) {
  if (disturbance.kind == Disturbance::Kind::kJoin) return join(disturbance);
  const auto& seat = disturbance.seat;
  ChildProcess* victim = seat ? node_at(*seat) : &coordinator_->process;
  if (victim == nullptr) return false;
  const bool freeze = disturbance.kind == Disturbance::Kind::kFreeze;
  victim->signal(freeze ? SIGSTOP : SIGKILL);
  disturbed_.push_back({victim, freeze ? std::optional(Clock::now()) : std::nullopt});
  const std::string where = seat ? " (stage " + std::to_string(seat->stage) + ", replica " +
                                       std::to_string(seat->replica) + ")"
                                 : "";
  printer_.leave();
  std::fprintf(say_, "%s %s%s after step %llu; %s\n", freeze ? "freezing" : "killing",
               victim->name().c_str(), where.c_str(), static_cast<unsigned long long>(last_->step),
               consequence(disturbance));
  if (!seat && !freeze) bring_back_coordinator();
  return true;
}

/// From its folder, as its operator would.
void DemoRun::bring_back_coordinator() {
  coordinator_->process.wait_exit(kOrderedStop);
  auto again = start_coordinator(launch());
  if (!again) return (void)std::fprintf(say_, "%s\n", again.error().message.c_str());
  *coordinator_ = std::move(*again);
  std::fprintf(say_, "the coordinator is back, from its journal\n");
}

void DemoRun::thaw(bool all) {
  for (Disturbed& disturbed : disturbed_) {
    if (!disturbed.frozen_at || (!all && Clock::now() - *disturbed.frozen_at < kFrozen)) continue;
    disturbed.process->signal(SIGCONT);
    disturbed.frozen_at.reset();
  }
}

bool DemoRun::was_disturbed(const ChildProcess& node) const {
  return std::ranges::any_of(
      disturbed_, [&](const Disturbed& disturbed) { return disturbed.process == &node; });
}

/// Who ended badly by itself; who ended early (exit 3) did so because somebody else was lost, and
/// counts only where there is nobody else.
ChildProcess* DemoRun::culprit() {
  for (const int consequence : {kEndedEarly, kDone}) {
    for (ChildProcess& node : nodes_) {
      if (was_disturbed(node)) continue;
      const int status = node.exit_status().value_or(kDone);
      if (status != kDone && status != consequence) return &node;
    }
  }
  if (coordinator_->process.exit_status().value_or(kDone) != kDone) return &coordinator_->process;
  return nullptr;
}

DemoEnd DemoRun::follow() {
  while (look()) {
    if (signals_.wait(kLookInterval) == node::Wake::kSignal) return interrupted();
    if (last_ && last_->state == "paused" && last_->waiting_for.starts_with("resume: "))
      return paused();
  }
  printer_.leave();
  return ended();
}

bool DemoRun::wait_all(seconds limit) {
  const auto deadline = Clock::now() + limit;
  const auto running = [this] {
    return !coordinator_->process.exit_status() ||
           std::ranges::any_of(nodes_, [](ChildProcess& node) { return !node.exit_status(); });
  };
  while (running()) {
    if (Clock::now() >= deadline) return false;
    if (signals_.wait(kReapInterval) == node::Wake::kSignal) return false;  // a second Ctrl-C
  }
  return true;
}

/// First the coordinator, which tells the nodes to save and leave; then whoever is left.
void DemoRun::stop_all(seconds ordered, seconds nodes) {
  if (!coordinator_) return;
  thaw(true);
  coordinator_->process.signal(SIGTERM);
  if (!wait_all(ordered)) {
    for (ChildProcess& node : nodes_) node.signal(SIGTERM);
    wait_all(nodes);
  }
  for (ChildProcess& node : nodes_) node.signal(SIGKILL);
  coordinator_->process.signal(SIGKILL);
  for (ChildProcess& node : nodes_) node.wait_exit(kNodeStop);
  coordinator_->process.wait_exit(kNodeStop);
}

/// By itself, and nobody is there to resume a demo.
DemoEnd DemoRun::paused() {
  printer_.leave();
  stop_all(kOrderedStop, kNodeStop);
  return {DemoEnd::Kind::kFailed, "the round paused; it waits for " + last_->waiting_for + "\n",
          last_, disturbed_.size()};
}

DemoEnd DemoRun::interrupted() {
  printer_.leave();
  std::fprintf(say_, "stopping: the nodes save what they have (Ctrl-C again: at once)\n");
  stop_all(kOrderedStop, kNodeStop);
  return {DemoEnd::Kind::kInterrupted, "", last_, disturbed_.size()};
}

std::string DemoRun::explain(ChildProcess& died, int status) const {
  std::string text = died.name() + " ended with " + describe_exit(status) + ". The end of " +
                     died.log().string() + ":\n";
  const std::string tail = log_tail(died.log(), kTailLines);
  text += tail.empty() ? "  (nothing)\n" : tail;
  return text;
}

DemoEnd DemoRun::ended() {
  const int status = coordinator_->process.exit_status().value_or(kFailed);
  thaw(true);
  // One that was given up may be asking to be let in again.
  for (const Disturbed& disturbed : disturbed_) disturbed.process->signal(SIGTERM);
  wait_all(kNodeStop);
  ChildProcess* failed = culprit();
  stop_all(seconds{0}, kNodeStop);
  if (status == kDone && failed == nullptr)
    return {DemoEnd::Kind::kFinished, "", last_, disturbed_.size()};
  if (failed == nullptr) failed = &coordinator_->process;
  std::string text = explain(*failed, failed->exit_status().value_or(status));
  if (failed != &coordinator_->process && status != kDone)
    text += explain(coordinator_->process, status);
  return {DemoEnd::Kind::kFailed, std::move(text), last_, disturbed_.size()};
}

}  // namespace

DemoEnd run_demo_processes(const DemoPlan& plan, std::vector<Disturbance> disturbances,
                           std::FILE* say) {
  const auto signals = node::Signals::block();
  if (!signals) return {DemoEnd::Kind::kFailed, signals.error().message + "\n", std::nullopt, 0};
  DemoRun run(plan, std::move(disturbances), **signals, say);
  if (const auto started = run.start(); !started)
    return {DemoEnd::Kind::kFailed, started.error().message + "\n", std::nullopt, 0};
  return run.follow();
}

}  // namespace coshard::cli
