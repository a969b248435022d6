// A node's side of the ledger: remembers what it sent and received, and when a step has committed
// exchanges signed windows of receipts about it with its neighbours; at the end of a ledger epoch
// hands in its work batch. Nothing that trains waits for it. Home thread: cs-net. Flow:
// ledger/receipt.h; when: node/README.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "crypto/identity.h"
#include "ledger/receipt.h"
#include "node/daemon/tensor_store.h"
#include "protocol/base/clock.h"
#include "protocol/base/thread_role.h"

namespace coshard::node {

struct ReceiptPorts {
  std::function<Result<void>(const NodeId&, const Message&, std::span<const wire::Payload>)> send;
  /// The batch of this epoch was taken, or its time is over.
  std::function<void(LedgerEpoch)> settled;
};

struct ReceiptCounters {
  Duration spent{};
  std::uint64_t receipts = 0;
  std::uint64_t windows = 0;
  std::uint64_t countersigned = 0;
  std::uint64_t refused = 0;
  std::uint64_t batches = 0;
};

/// Who we are in the round, known with the Welcome.
struct ReceiptSeat {
  ledger::Genesis genesis;
  NetworkId network;
  NodeId coordinator;
  StageIndex stage;
  Incarnation incarnation;
};
/// The Genesis in the bytes of entry 0. kInvalidArgument when it is none.
Result<ledger::Genesis> genesis_in(ByteView genesis_entry);

class Receipts {
 public:
  /// `identity` and `clock` outlive this object. Windows are kept in `folder`, bounded.
  Receipts(const crypto::Identity& identity, const Clock& clock, std::filesystem::path folder,
           ReceiptPorts ports);

  void take_seat(ReceiptSeat seat);

  // ---- what happens to tensors
  /// The parameters that compute from now on.
  void set_weights(StepId step, const Fingerprint& digest) { weights_ = {step, digest}; }
  /// `key` is the edge as the message named it: our stage, the attempt of the receiver's unit. The
  /// same edge again is one transfer that was repeated.
  void sent(const NodeId& to, const round::TensorKey& key, const KeptTensor& tensor);
  /// Received, checked and computed with.
  void used(const round::TensorKey& key, const KeptTensor& tensor);
  void dropped(StepId step);

  // ---- what the coordinator says
  void stage_closed(const StageClosed& closed);
  void committed(const Commit& commit);
  void settle(LedgerEpoch epoch);
  void batch_taken(const WorkBatchSubmission& message);

  // ---- what neighbours say
  /// kPermissionDenied and the like when the window is false: a fault of `from`.
  Result<void> on_window(const NodeId& from, const ReceiptWindow& message, ByteView payload);
  Result<void> on_countersigned(const NodeId& from, const ReceiptCountersigned& message,
                                ByteView payload);
  void lost(const NodeId& peer);

  /// Repeats what was not answered. Call every limits::kUnitReportInterval.
  /// `coordinator_silent`: then nobody takes a batch, and none is given up.
  void tick(bool coordinator_silent = false);
  const ReceiptCounters& counters() const { return counters_; }

 private:
  struct PendingWindow {
    LedgerEpoch epoch;
    ledger::SignedWindow window;
    TimePoint sent_at;
  };
  using WindowKey = std::pair<NodeId, std::uint64_t>;
  using Edge = std::pair<round::TensorKey, NodeId>;  ///< and the receiver
  struct OwnUnits {
    Attempt attempt;  ///< of the averaging that the book was closed for
    std::uint64_t count = 0;
  };
  struct Settling {
    TimePoint since;
    TimePoint sent_at;
    Bytes batch;  ///< empty until it is signed
  };
  struct Epoch {
    std::uint64_t units = 0;
    StepId last_step;
    std::vector<ledger::SignedWindow> windows;  ///< countersigned or given up
    std::optional<Settling> settling;
  };
  void make_windows();
  void add_window(const NodeId& receiver, LedgerEpoch epoch,
                  const std::vector<ledger::Receipt>& receipts);
  /// In halves, so that what the receiver does not confirm ends up alone.
  void split_window(const WindowKey& key);
  void send_window(const WindowKey& key, PendingWindow& pending);
  /// `window`: as it goes into the epoch's batch, countersigned or not.
  void close_window(const WindowKey& key, ledger::SignedWindow window);
  bool windows_pending(LedgerEpoch epoch) const;
  void give_up_windows(LedgerEpoch epoch);
  void advance(LedgerEpoch epoch, Epoch& state);
  Result<void> sign_batch(LedgerEpoch epoch, Epoch& state);
  void keep_windows(LedgerEpoch epoch, const Epoch& state) const;
  void finish(LedgerEpoch epoch);

  const crypto::Identity& identity_;
  const Clock& clock_;
  const std::filesystem::path folder_;
  const ReceiptPorts ports_;
  std::optional<ReceiptSeat> seat_;
  std::optional<ledger::ReceiptChain> chain_;
  ledger::WeightVersion weights_;
  std::map<StepId, std::map<Edge, ledger::TensorSent>> sent_;
  ledger::TensorsReceived received_;
  ledger::ReceiptCollector collector_;
  std::map<NodeId, std::uint64_t> next_window_;
  std::map<WindowKey, PendingWindow> pending_;
  std::set<NodeId> gone_;  ///< lost, and not heard since: they countersign nothing
  std::map<LedgerEpoch, Epoch> epochs_;
  std::map<StepId, OwnUnits> own_units_;  ///< of closed books, until the commit
  StepId committed_;
  ReceiptCounters counters_;
  ThreadRole net_;
};

}  // namespace coshard::node
