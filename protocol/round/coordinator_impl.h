// Inside of the coordinator's machine: its state and one function per thing that can happen.
// Included by coordinator*.cpp only.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "protocol/round/coordinator.h"
#include "protocol/round/membership.h"
#include "protocol/round/pace.h"
#include "protocol/round/rebalance.h"
#include "protocol/round/settlement.h"
#include "protocol/round/step.h"
#include "protocol/round/wait.h"

namespace coshard::round {

class Coordinator::Impl {
 public:
  Impl(CoordinatorConfig config, JournalState journal);

  CoordinatorActions start(TimePoint now);
  CoordinatorActions on(const CoordinatorEvent& event, TimePoint now);
  CoordinatorPhase phase() const { return phase_; }
  CoordinatorStatus status() const;
  const CoordinatorCounters& counters() const { return counters_; }

 private:
  /// Of one that has a seat and does no work yet.
  struct Joining {
    StepId from;                         ///< its state will be that after this step, or a later one
    bool spoke = false;                  ///< it has its Welcome
    std::optional<UpdateReport> report;  ///< the last
    std::optional<StepId> right;         ///< the last step after which its digest was its stage's
  };
  struct Asking {
    JoinRequest request;
    Bytes certificate;
  };
  /// What is remembered of a member beside its seat.
  struct Peer {
    std::string device, software;
    std::optional<Fingerprint> loaded;  ///< digest of the state that it loaded
    Heartbeat heartbeat;
    TimePoint heard_at{};
    std::optional<TimePoint> late_since;  ///< not heard since then
    StepId heard_step;                    ///< newest step of which it has said anything
    std::uint64_t pull_request = 0;
    std::uint32_t pull_slots = 0;
    StepId pull_step;
    Pace pace;                             ///< of a replica of stage 0: from a grant to the report
    std::optional<TimePoint> asked_again;  ///< to be let in, although it is in and was ready
    std::optional<Joining> joining;        ///< not a member yet
    MembershipEpoch heard_epoch;           ///< of the table that it is known to have
    bool restores = false;                 ///< gets its shard from the keeper before it loads
    TimePoint seated_at{};                 ///< it may load
    Inquiry survey;                        ///< what it holds
  };
  struct Complaint {
    NodeId from, about;
    std::string reason;
    TimePoint since;
    bool silent_here = false;  ///< the one complained about, when the complaint came
  };
  /// What the members of this epoch hold of the open step, as their answers come in.
  using Survey = std::map<NodeId, Holdings>;
  /// After a restart, until it is known who of the members has lived on.
  struct Return {
    TimePoint since;
    std::set<NodeId> expected;          ///< members by the journal that were not heard yet
    bool working = false;               ///< somebody has heard of an open step
    bool newcomers = false;             ///< somebody who holds no state asks to be let in
    std::map<NodeId, Received> seated;  ///< of those, who had a seat: it is theirs before others'
  };

  /// How fast a node is at what has to be done before a round can begin, or go on.
  struct Readiness {
    Times raised;  ///< its stage, from the seat to the word that it is there
    Rate disk;     ///< checkpoints, from the order to save one to the word that it is there
  };

  /// After a stage was lost, until every stage has a member with its shard of the checkpoint.
  struct FallBack {
    TimePoint since;
    std::set<NodeId> survivors;  ///< who lived, and is asked to load that checkpoint
    std::string why;             ///< what was lost, for people
  };

  /// The shard of a stage's only replica, on its way to a keeper.
  struct Keeping {
    StepId step;
    NodeId holder, keeper;
    TimePoint since, until;  ///< the checkpoint waits for it
    std::optional<ShardFile> sealed;
    bool failed = false;  ///< not asked for again
  };

  // Events.
  void handle(const Received& event);
  void handle(const PeerLost& event);
  void handle(const PeerLate& event);
  void handle(const Tick&);
  void handle(const Control& control);
  void handle(const EpochSettled& event);

  // Messages of members.
  void hear(const Member& from, const Heartbeat& message);
  void hear(const Member& from, const MicrobatchPull& message);
  void hear(const Member& from, const UnitReport& message);
  void hear(const Member& from, const UnitRefused& message);
  void hear(const Member& from, const AverageReport& message);
  void hear(const Member& from, const UpdateReport& message);
  void hear(const Member& from, const CheckpointReport& message);
  void hear(const Member& from, const PeerComplaint& message);
  void hear(const Member& from, const LeaveNotice& message);
  void hear(const Member& from, const Holdings& message);
  void hear(const Member& from, const RepairTaken& message);
  void hear(const Member& from, const ShardSealed& message);
  void hear(const Member&, const WorkBatchSubmission&) {}  // the shell's ledger side takes it
  template <class Other>
  void hear(const Member& from, const Other&) {
    fault(from.node, "a message that nodes do not send to the coordinator");
  }
  void join(const Received& event, const JoinRequest& request);
  void join_again(const NodeId& node);

  // Training.
  void advance();
  void close_admission();
  bool has_begun() const;
  std::size_t nodes_wanted() const {
    return std::size_t{config_.shape.stages} * config_.shape.replicas;
  }
  void begin_training();
  void hear_ready(const Member& from, const UpdateReport& message);
  void go_ahead();
  bool all_steps_done() const;
  void open_step(StepId step);
  void close_stages();
  void commit();
  StepRecord record_of_open_step() const;
  bool checkpoint_is_due(StepId step) const;
  void after_commit(const StepRecord& record);
  void take_checkpoints();
  void complete_checkpoint();
  void take_epochs(bool now_or_never);
  void keep_digests(const SettledStep& step);

  // Who loads (coordinator_loading.cpp).
  Duration loading_time(const Member& member) const;
  bool can_do_without(const Member& loading) const;
  void judge_loading();

  // Joining while the round runs (coordinator_join.cpp).
  void ask_to_join(const Received& event, const JoinRequest& request);
  void hear_joiner(const Member& from, const Message& message);
  void let_joiners_in(StepId step);
  bool let_in(const NodeId& node, const Asking& asking, StepId step);
  bool promote(const NodeId& node, StepId step);
  void lose_joiner(NodeId node, const std::string& why, bool anew = false);  ///< as lose()
  void offer_state();
  void repeat_to_joiner(const NodeId& node);
  void check_joiner(const Member& joiner);
  bool is_close(const NodeId& joiner) const;
  std::vector<NodeId> joiners_of(StageIndex stage) const;

  // Who is lost, and who goes (coordinator_loss.cpp).
  /// `anew`: the node asks to be let in, and hears that it begins anew: a new process has nothing
  /// to begin with and goes on asking, one whose word came late has. By value: its
  /// member goes.
  void lose(NodeId node, const std::string& why, bool anew = false);
  void judge_complaints();
  void judge_silence();
  bool is_spare(const Member& member) const;  ///< its stage has others
  bool is_silent(const NodeId& node) const;
  const Member& who_goes(const Member& from, const Member& about) const;
  void take_leave();

  // What they had done is done again (coordinator_repair.cpp).
  void survey();
  void survey_again();
  void ask_the_late();
  void plan_repair();
  void settle_averages();

  // Who takes how much of the open step (coordinator_flow.cpp).
  std::vector<Worker> first_stage();
  std::vector<GrantedMicrobatch> top_up(const NodeId& node);
  void answer_pull(const NodeId& node);
  void offer_the_rest();
  void note_pace(const Member& from, std::uint32_t units);
  void rest_idle();

  // Stragglers (coordinator_relief.cpp).
  void expect_units();
  void note_units_done();
  void look_for_stragglers();
  bool add_relief(const StepFacts& facts, RepairPlan& plan);

  // Replicas that move (coordinator_move.cpp).
  void balance_stages();

  // What it waits for (coordinator_waits.cpp).
  std::vector<Wait> waits() const;
  void add_step_waits(std::vector<Wait>& waits) const;
  TimePoint next_question() const;
  void note_averaging(StageIndex stage);

  // Coming back from the journal (coordinator_return.cpp).
  void begin_return();
  void claim(const Received& event, const JoinRequest& request);
  void come_anew(const Received& event);
  void end_return();
  void await_return();
  bool nobody_can_hold_a_stage() const;
  void wait_again(Member member);
  void give_up_missing();
  void recall_books();
  void go_on();
  void give_up_return();
  void roll_back();
  bool rebuild_step();

  // Going back to a checkpoint (coordinator_rollback.cpp).
  void fall_back(const std::string& why);
  void cannot_save(const Member& who, const std::string& error);
  void send_everybody_back(const std::string& why);
  void go_back(LedgerEpoch next_epoch);
  void hand_over(const std::vector<StepRecord>& records,
                 const std::map<StepId, std::vector<Fingerprint>>& digests);
  void hand_over_given_up();
  bool survivors_are_back() const;
  bool waits_for_survivors(const NodeId& node) const;
  bool keep_waiting(const Received& event, const JoinRequest& request, const Error& error);
  void await_stages();
  std::string waiting_for_stages() const;

  // Shards of which there is one copy alone (coordinator_keeper.cpp).
  void keep_shards();
  bool all_are_kept() const;
  const CheckpointRecord& newest_saved() const { return saved_ ? *saved_ : *checkpoint_; }
  std::optional<NodeId> keeper_for(StageIndex stage) const;
  void ask_to_keep(StageIndex stage);
  bool is_kept(StageIndex stage) const;
  const ShardKept* kept(StageIndex stage, StepId step) const;
  bool may_restore(const NodeId& node, const ShardKept& shard) const;
  bool holders_had_time() const;
  std::optional<StageIndex> stage_to_restore(const NodeId& node) const;
  void return_shard(const Member& member);
  SealKey seal_key(StageIndex stage, StepId step) const;

  // Ending (coordinator_ending.cpp).
  void end_round(EndReason reason, std::string text, bool save);
  void finish();
  void advance_ending();
  void finish_round();
  void pause_for_skips();
  void repeat_unanswered();
  void repeat_to(const Member& member);
  bool owes_reports(const NodeId& node) const;

  void send(const NodeId& to, Message message) { act(Send{to, std::move(message)}); }
  void send_all(const Message& message);
  void send_joiners(const Message& message);
  void persist(JournalRecord record) { act(Persist{std::move(record)}); }
  void note(std::string text) { act(Note{std::move(text)}); }
  void fault(const NodeId& peer, std::string reason);
  void act(CoordinatorAction action) { actions_.push_back(std::move(action)); }
  bool judge(Entry entry, const NodeId& from, const char* what);
  /// And its book is known.
  bool is_open(StepId step) const { return book_ && !rebuilding_ && book_->step() == step; }
  /// Between admission and the end.
  bool running() const {
    return phase_ != CoordinatorPhase::kAdmitting && phase_ < CoordinatorPhase::kEnding;
  }
  std::string name(const Member& member) const;
  std::string waiting_for() const;
  StepId resumable_step() const { return checkpoint_ ? checkpoint_->step : StepId(0); }

  CoordinatorConfig config_;
  JournalState journal_;  ///< as found; seats and checkpoint live on below
  Generation generation_;
  std::optional<CheckpointRecord> checkpoint_;  ///< the last complete one
  std::optional<CheckpointRecord> saved_;       ///< a newer one, of which copies are being kept
  StepId resume_step_;                          ///< where members start from
  Hash resume_hash(StageIndex stage) const;
  Membership members_;
  Settlement settlement_;
  std::map<NodeId, Peer> peers_;

  CoordinatorPhase phase_ = CoordinatorPhase::kAdmitting;
  TimePoint now_{};
  TimePoint admitted_at_{};  ///< the last admission
  TimePoint loading_since_{};
  std::map<NodeId, Readiness> readiness_;  ///< of whoever has had a seat
  std::optional<std::pair<StepId, TimePoint>> asked_to_save_;
  TimePoint repeat_at_{};
  StepId last_step_;    ///< committed
  StepId newest_step_;  ///< ever committed
  LedgerEpoch epoch_;   ///< of the next commit
  std::optional<LedgerEpoch> unsettled_epoch_;
  std::uint32_t skipped_in_a_row_ = 0;
  std::optional<StepBook> book_;  ///< of the open step
  std::optional<Commit> last_commit_;
  std::map<StageIndex, TimePoint> closed_at_;    ///< of stages that average
  std::map<StageIndex, Times> averaging_times_;  ///< from a stage's closing to its last report
  Times work_times_;                             ///< from a step's opening to its last unit
  std::optional<TimePoint> relief_at_;  ///< if units are missing then, somebody may be slow
  bool relieving_ = false;              ///< the survey under way is to find out who
  MembershipEpoch opened_in_;           ///< of the open step
  Hysteresis hysteresis_{config_.move_patience.value_or(Duration{0})};
  std::vector<Complaint> complaints_;
  std::map<NodeId, TimePoint> leaving_;  ///< asked to go, and when; gone after the open step
  bool survey_wanted_ = false;           ///< not everybody is known to have the table of this epoch
  std::optional<TimePoint> survey_again_at_;
  std::optional<Survey> survey_;  ///< under way
  TimePoint surveyed_at_{};
  std::optional<Return> return_;
  std::optional<FallBack> fall_back_;
  /// Since then: the book of the open step is to be written from the survey.
  std::optional<TimePoint> rebuilding_;
  std::map<NodeId, RepairOrders> orders_;  ///< given, not known to be taken
  std::uint64_t nodes_lost_ = 0, microbatches_repaired_ = 0;
  std::map<NodeId, Asking> asking_;  ///< to be let in when the next step opens
  bool checkpoint_wanted_ = false;   ///< as soon as none is under way
  std::uint64_t nodes_joined_ = 0;
  bool pause_wanted_ = false;
  std::string pause_why_;     ///< where nobody asked for it
  std::string last_refusal_;  ///< of a unit that was not finite
  bool finish_wanted_ = false;

  std::optional<TimePoint> finishing_since_;  ///< all is done but to save the last state
  std::map<StageIndex, Keeping> keeping_;
  std::map<std::pair<StageIndex, StepId>, ShardKept> kept_;  ///< of the checkpoint or newer

  std::optional<RoundEnd> end_;
  TimePoint ending_since_{}, end_deadline_{};

  CoordinatorActions actions_;
  CoordinatorCounters counters_;
};

}  // namespace coshard::round
