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

/// All cores, divided among the nodes.
int threads_per_node(std::uint32_t nodes) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  const int count = sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
  return std::max(1, count / static_cast<int>(nodes));
}

class DemoRun {
 public:
  DemoRun(const DemoPlan& plan, node::Signals& signals, std::FILE* say)
      : plan_(plan), signals_(signals), printer_(say, node::Terminal::of(say)), say_(say) {}
  ~DemoRun() { stop_all(seconds{0}, seconds{0}); }
  DemoRun(const DemoRun&) = delete;
  DemoRun& operator=(const DemoRun&) = delete;

  Result<void> start();
  DemoEnd follow();

 private:
  Result<void> start_node(std::uint32_t number);
  bool look();
  DemoEnd interrupted();
  DemoEnd ended();
  std::string explain(ChildProcess& died, int status) const;
  ChildProcess* culprit();
  bool wait_all(seconds limit);
  void stop_all(seconds ordered, seconds nodes);

  const DemoPlan& plan_;
  node::Signals& signals_;
  node::ProgressPrinter printer_;
  std::FILE* say_;
  std::optional<RunningCoordinator> coordinator_;
  std::vector<ChildProcess> nodes_;
  std::optional<Clock::time_point> failed_at_;
  std::optional<node::RoundStatus> last_;
};

Result<void> DemoRun::start() {
  COSHARD_ASSIGN(RunningCoordinator coordinator,
                 start_coordinator(
                     {plan_.round_file, plan_.dir, "tcp://127.0.0.1:0", "", "127.0.0.1:0", true}));
  coordinator_.emplace(std::move(coordinator));
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
                       "--threads",     std::to_string(threads_per_node(plan_.nodes()))};
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
  }
  if (const ChildProcess* failed = failed_at_ ? nullptr : culprit()) {
    failed_at_ = Clock::now();
    printer_.leave();
    std::fprintf(say_, "%s ended; the round stops\n", failed->name().c_str());
  }
  if (failed_at_ && Clock::now() - *failed_at_ > kFailureGrace) stop_all(kOrderedStop, kNodeStop);
  return !coordinator_->process.exit_status();
}

/// Who ended badly by itself; who ended early (exit 3) did so because somebody else was lost, and
/// counts only where there is nobody else.
ChildProcess* DemoRun::culprit() {
  for (const int consequence : {kEndedEarly, kDone}) {
    for (ChildProcess& node : nodes_) {
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

DemoEnd DemoRun::interrupted() {
  printer_.leave();
  std::fprintf(say_, "stopping: the nodes save what they have (Ctrl-C again: at once)\n");
  stop_all(kOrderedStop, kNodeStop);
  return {DemoEnd::Kind::kInterrupted, "", last_};
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
  wait_all(kNodeStop);
  ChildProcess* failed = culprit();
  stop_all(seconds{0}, kNodeStop);
  if (status == kDone && failed == nullptr) return {DemoEnd::Kind::kFinished, "", last_};
  if (failed == nullptr) failed = &coordinator_->process;
  std::string text = explain(*failed, failed->exit_status().value_or(status));
  if (failed != &coordinator_->process && status != kDone)
    text += explain(coordinator_->process, status);
  return {DemoEnd::Kind::kFailed, std::move(text), last_};
}

}  // namespace

DemoEnd run_demo_processes(const DemoPlan& plan, std::FILE* say) {
  const auto signals = node::Signals::block();
  if (!signals) return {DemoEnd::Kind::kFailed, signals.error().message + "\n", std::nullopt};
  DemoRun run(plan, **signals, say);
  if (const auto started = run.start(); !started)
    return {DemoEnd::Kind::kFailed, started.error().message + "\n", std::nullopt};
  return run.follow();
}

}  // namespace coshard::cli
