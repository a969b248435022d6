// Inside of the node's machine: its state and one function per thing that can happen. Included by
// participant*.cpp only.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "protocol/round/averaging.h"
#include "protocol/round/catch_up.h"
#include "protocol/round/participant.h"
#include "protocol/round/pipeline.h"
#include "protocol/round/routing.h"

namespace coshard::round {

/// What the open step may keep us for, and time for the coordinator to say so.
inline constexpr auto kLeavePatience = limits::kLeaveTimeout + limits::kSuspicionMin;

inline bool reduces(const StageClosed& closed, const NodeId& replica) {
  return std::ranges::find(closed.reducers, replica) != closed.reducers.end();
}

class Participant::Impl {
 public:
  explicit Impl(ParticipantConfig config);

  ParticipantActions start(TimePoint now);
  ParticipantActions on(const ParticipantEvent& event, TimePoint now);
  ParticipantPhase phase() const { return phase_; }
  Heartbeat heartbeat() const;
  const ParticipantCounters& counters() const { return counters_; }
  std::optional<Welcome> seat() const { return welcome_; }
  std::optional<Duration> coordinator_silence(TimePoint now) const;
  std::vector<Wait> waits() const;

 private:
  /// Everything about one step that has not committed. At most two live at once: the open one, and
  /// the next, of which early messages may come while the update is still being applied.
  struct OpenStep {
    Pipeline pipeline;
    Averaging averaging;
    std::optional<StageClosed> closed{};  ///< of this attempt; acted upon once the step is active
    std::optional<Attempt> closed_attempt{};  ///< the newest that the coordinator has named
    bool setting_average = false;
    std::optional<AverageReport> report{};
    TimePoint closed_at{}, reported_average_at{};
    std::set<MicrobatchIndex> unacknowledged{};  ///< done, and not known to be in the book
    bool unreported = false;                     ///< some of them were never reported
    std::optional<MembershipEpoch> opened{};     ///< StepOpen was heard, first of this epoch
    MembershipEpoch repaired{};                  ///< epoch of the last orders taken
    struct Sent {
      NodeId to;
      TimePoint at;
    };
    std::map<Unit, Sent> awaited{};            ///< outputs whose gradient has not come
    std::optional<TimePoint> blocked_since{};  ///< an output has no hop to go to
    std::uint32_t routed = 0;                  ///< outputs that went to a hop chosen here
    std::uint32_t pull_slots = 0;
    std::uint64_t pull_request = 0;
    bool pull_answered = true;
    TimePoint pulled_at{};
    TimePoint reported_at{};
    std::vector<ChunkIndex> asked{};  ///< of those who hold the average, the last time
    std::uint32_t asks = 0;
    TimePoint asked_at{};
    std::optional<UnitRefused> refusal{};  ///< the newest, until everybody is asked again
    MembershipEpoch refused_in{};
    TimePoint refused_at{};
  };

  // Events.
  void handle(const Received& event);
  void handle(const PeerLost& event);
  void handle(const Tick&);
  void handle(const EpochSettled& event);
  void handle(const StageReady& event);
  void handle(const StageFailed& event) { leave(event.reason); }
  void handle(const ComputeDone& event);
  void handle(const OutputEvicted& event);
  void handle(const ChunkReduced& event);
  void handle(const AverageSet& event);
  void handle(const UpdateApplied& event);
  void handle(const CheckpointSaved& event);
  void handle(const StateProgress& event);
  void handle(const StateFetched& event);
  void handle(const ShardHandled& event);
  void handle(const EngineFailed& event) { leave(event.reason); }
  void handle(const LeaveRequested& event);
  void handle(const CoordinatorDialled&) {
    if (holds_state()) ask();
  }

  // The coordinator's words.
  void obey(const Welcome& message);
  void obey(const Refused& message);
  void obey(const MembershipTable& message);
  void obey(const StepOpen& message);
  void obey(const MicrobatchGrant& message);
  void obey(const UnitAck& message);
  void obey(const StageClosed& message);
  void obey(const Commit& message);
  void obey(const RepairOrders& message);
  void obey(const RoundEnd& message);
  void obey(const StateOffer& message);
  void obey(const SealOrder& message);
  void obey(const KeepOrder& message);
  void obey(const ShardReturn& message);
  void obey(const Heartbeat&) {}
  template <class Other>
  void obey(const Other&) {
    fault(config_.coordinator, "a message that the coordinator does not send");
  }

  // Other members' words.
  void hear(const Member& from, const SlotGrant& message);
  void hear(const Member& from, const ForwardTensor& message);
  void hear(const Member& from, const BackwardTensor& message);
  void hear(const Member& from, const GradientChunk& message);
  void hear(const Member& from, const AveragedChunk& message);
  void hear(const Member& from, const AverageAsk& message);
  void hear(const Member&, const Heartbeat&) {}             // the transport's
  void hear(const Member&, const ReceiptWindow&) {}         // the shell's ledger side
  void hear(const Member&, const ReceiptCountersigned&) {}  // the same
  template <class Other>
  void hear(const Member& from, const Other&) {
    fault(from.node, "a message that nodes do not send to nodes");
  }

  // While the coordinator is away (participant_away.cpp).
  void ask();
  void ask_again();
  void go_on_leaving();

  // What can be done now.
  void pump();
  void take_seat();
  void feed_engine(OpenStep& step);
  void measure(WorkOp op);
  double unit_seconds() const;
  SlotGrant slot_grant(const NodeId& upstream) const;
  void add_step_waits(std::vector<Wait>& waits, const OpenStep& step) const;
  Wait copy_wait() const;
  Duration expected(const Times& times) const;
  void await_gradient(OpenStep& step, const Unit& unit, const NodeId& to);
  void note_gradient(OpenStep& step, const Unit& unit);
  void send_outputs(OpenStep& step);
  void send_out(const std::vector<Outgoing>& outgoing);
  void pull(OpenStep& step);
  void report_units(OpenStep& step);
  void refuse(OpenStep& step, const ComputeDone& event);
  void relieve(OpenStep& step, const RepairTask& task);
  void return_slot(OpenStep& step, const RepairTask& task);
  void finish_slot(const NodeId& upstream);
  void keep(OpenStep& step, const StageClosed& closed);
  void keep_for_later(const Member& from, const SlotGrant& grant);
  void repeat_refusal(OpenStep& step);
  void average(OpenStep& step);
  void ask_for_average(OpenStep& step);
  void change_members(const MembershipTable& table);
  void use_table(const MembershipTable& table);
  void tell_holdings(bool lacks = false);
  void begin_attempt(OpenStep& step, StepId id, Attempt attempt);
  bool agrees_with(const OpenStep& step, const StageClosed& closed) const;
  void save(StepId step);
  void apply_commit();
  void advance_ending();
  void repeat_reports();
  void grant_slots();

  // Joining while the round runs (participant_join.cpp).
  bool is_joining() const { return phase_ == ParticipantPhase::kCatchingUp; }
  /// Or will, without anybody's help.
  bool holds_state() const {
    return !is_joining() && !(phase_ == ParticipantPhase::kLoading && welcome_->restores);
  }
  void catch_up();
  void note_chunk(const Member& from, const GradientChunk& chunk);
  void note_average(const Member& from, const AveragedChunk& chunk);
  void use_joiners_table(const MembershipTable& table);
  bool may_work_after(StepId step) const;
  bool names_the_present(const StageClosed& closed) const;
  void become_member();
  void join_loaded(const StageReady& event);
  void join_applied(const UpdateApplied& event);
  void fetch_state();
  /// What was noted has a gap, or the link is too slow: from the beginning, or not at all.
  void give_up_joining(std::string reason, bool again);

  // Sealed shards (participant_keeper.cpp).
  bool handles_already(StepId step, StageIndex stage);
  void restored(const StateFetched& event);

  /// Tells the coordinator, drops everything and ends: the node cannot go on.
  void leave(std::string reason);
  void finish(EndReason reason, std::string text, bool refused = false, bool again = false,
              bool at_once = false);
  void drop_steps_after(StepId last);

  bool ready() const { return shape_.has_value() && table_.has_value(); }
  /// The step that this node may work on: the one after the update that it has applied.
  OpenStep* active();
  /// The open step, or the next one; nothing (and counted) when `step` is another.
  OpenStep* find_step(StepId step);
  OpenStep* averaging_step(const Member& from, StepId step, StageIndex stage, Attempt attempt);
  bool judge(Arrival arrival, const NodeId& from, const char* what);
  void fault(const NodeId& peer, std::string reason);
  const Member* find_member(const NodeId& node) const;
  std::vector<NodeId> replicas(std::uint32_t stage) const;
  std::uint32_t stage() const { return welcome_->stage.value; }
  bool is_first() const { return stage() == 0; }
  bool is_last() const { return stage() + 1 == shape_->stages; }
  bool is_alone() const;
  std::uint32_t in_flight() const;

  /// Engine actions go out before those for the network.
  template <class Action>
  void engine(Action action) {
    engine_actions_.push_back(std::move(action));
  }
  template <class Action>
  void network(Action action) {
    network_actions_.push_back(std::move(action));
  }
  void tell(const NodeId& to, Message message) { network(SendMessage{to, std::move(message)}); }
  void sort_out(ParticipantActions actions);
  ParticipantActions take_actions();

  ParticipantConfig config_;
  ParticipantPhase phase_ = ParticipantPhase::kJoining;
  TimePoint now_{};
  TimePoint asked_at_{};    ///< JoinRequest
  TimePoint heard_at_{};    ///< the coordinator
  TimePoint granted_at_{};  ///< slots, to everybody upstream
  std::optional<TimePoint> leaving_since_, noticed_at_;
  LeaveNotice leave_notice_;  ///< while leaving
  TimePoint ending_since_{};

  std::optional<Welcome> welcome_;
  std::optional<MembershipTable> table_;
  std::unordered_map<NodeId, std::size_t> seats_;  ///< where in the table somebody stands
  std::optional<RoundShape> shape_;
  Schedule schedule_ = Schedule::kOneForwardOneBackward;
  std::uint32_t chunks_ = 0;
  Fingerprint loaded_digest_{};
  bool seated_ = false;                                        ///< ready, and slots are granted
  std::vector<std::pair<NodeId, std::uint64_t>> early_slots_;  ///< grants before the table

  Router router_;
  std::map<NodeId, Times> gradient_times_;  ///< by hop: from sending to the gradient
  Times average_times_;                     ///< from the word that closed the book to the average
  Times commit_times_;                      ///< from the average to the commit
  TimePoint seated_at_{};                   ///< Welcome
  std::uint32_t routed_before_ = 0;         ///< OpenStep::routed of the last step that committed
  SlotBook slots_;
  StepId committed_;  ///< last commit heard
  StepId applied_;    ///< last update applied
  std::map<StepId, OpenStep> steps_;
  std::vector<Work> computing_;         ///< issued, unanswered, oldest first
  TimePoint computing_since_{};         ///< the oldest of them
  std::array<double, 4> op_seconds_{};  ///< of the engine, by WorkOp; 0: not measured
  std::array<bool, 4> op_warm_{};       ///< one was done
  std::optional<Commit> commit_;        ///< heard, its update not applied yet
  bool updating_ = false;               ///< ApplyUpdate is issued
  TimePoint updating_since_{};
  std::optional<StepId> saving_;   ///< SaveCheckpoint is issued
  std::optional<StepId> to_save_;  ///< as soon as that is answered
  std::optional<UpdateReport> update_report_;
  std::optional<CheckpointReport> checkpoint_report_;
  std::optional<LedgerEpoch> open_epoch_;      ///< has steps and was not asked to settle
  std::optional<LedgerEpoch> settling_epoch_;  ///< asked to settle, not settled
  std::optional<RoundEnd> end_;
  bool released_ = false;  ///< the end is settled

  std::optional<CatchUp> catch_up_;         ///< while joining
  std::optional<StepOpen> opened_early_;    ///< the newest, before this node can work on it
  std::optional<ShardFile> offer_;          ///< the newest
  std::optional<ShardFile> fetching_;       ///< FetchState is issued
  std::optional<TimePoint> copying_since_;  ///< FetchState or RestoreShard is issued
  std::optional<StateProgress> progress_;   ///< of that
  TimePoint reported_applied_at_{};         ///< said again while joining
  std::optional<std::pair<StepId, TimePoint>> first_commit_, last_commit_;  ///< while joining

  std::map<StageIndex, StepId> shards_in_hand_;       ///< SealShard or KeepShard is issued
  std::map<StageIndex, ShardSealed> shards_handled_;  ///< the newest answers
  std::optional<ShardReturn> restoring_;              ///< RestoreShard is issued

  ParticipantActions keeps_, engine_actions_, network_actions_;
  ParticipantCounters counters_;
};

}  // namespace coshard::round
