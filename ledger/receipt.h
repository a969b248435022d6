// What both ends of a transfer sign: one receipt per tensor, signed many at a time in windows, and
// summed up in a work batch. No I/O, no clock; one thread at a time (a node's cs-net).
// Bytes: FORMAT.md. Design 4, reference ledger.md 3.2.
//
//   sender                                   receiver
//   chain.make_receipt(unit, sent)           received.record(…)        after checking the tensor
//   collector.add(receipt)
//   sign_window(key, …)          ------->    countersign(key, …, received)
//   verify_window(…)             <-------
//   make_batch(…), sign_body(…)  ------->    coordinator: RoundLedger::admit
//
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <span>
#include <vector>

#include "ledger/entry.h"
#include "protocol/base/commit_scalars.h"
#include "protocol/base/tensor_blob.h"

namespace coshard::ledger {

enum class Direction : std::uint8_t { kForward = 1, kBackward = 2 };

/// Which parameters computed a tensor.
struct WeightVersion {
  StepId step;  ///< the last step applied
  Fingerprint digest{};
  bool operator==(const WeightVersion&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.step);
    codec(2, self.digest);
  }
};

/// A tensor as it went out. `payload_hash` is over the exact bytes on the wire; `in_hash` is the
/// payload_hash of the tensor that this one was computed from, which chains edges into a path (all
/// zeros at stage 0 forward and at the last stage backward, where it comes from the data).
struct TensorSent {
  LedgerEpoch epoch;
  Direction direction = Direction::kForward;
  StageIndex stage_to;
  NodeId receiver;
  WeightVersion weights;
  DType dtype = DType::kF32;
  BoundaryEncoding encoding = BoundaryEncoding::kNone;
  std::vector<std::uint64_t> shape;
  std::uint64_t payload_bytes = 0;
  Hash payload_hash{};
  Hash in_hash{};
  Bytes sketch;  ///< for later audits; empty now, at most 1024 bytes
};

struct Receipt {
  NetworkId network;
  LedgerEpoch epoch;
  StepId step;
  MicrobatchIndex microbatch;
  StageIndex stage_from;
  StageIndex stage_to;
  Direction direction = Direction::kForward;
  Attempt attempt;  ///< of the receiver's unit, as the message said
  NodeId sender;
  NodeId receiver;
  WeightVersion weights;
  DType dtype = DType::kF32;
  BoundaryEncoding encoding = BoundaryEncoding::kNone;
  std::vector<std::uint64_t> shape;
  std::uint64_t payload_bytes = 0;
  Hash payload_hash{};
  Hash in_hash{};
  Bytes sketch;
  Incarnation incarnation;  ///< of the sender: its chain starts over with each
  std::uint64_t seq = 0;    ///< 0, 1, 2 … of this sender and incarnation, over all receivers
  Hash prev{};              ///< receipt_hash of the one before; zeros for the first
  bool operator==(const Receipt&) const = default;

  Unit unit() const { return Unit{step, microbatch, stage_from, attempt}; }

  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.network);
    codec(2, self.epoch);
    codec(3, self.step);
    codec(4, self.microbatch);
    codec(5, self.stage_from);
    codec(6, self.stage_to);
    codec(7, self.direction);
    codec(8, self.attempt);
    codec(9, self.sender);
    codec(10, self.receiver);
    codec(11, self.weights);
    codec(12, self.dtype);
    codec(13, self.encoding);
    codec(14, self.shape);
    codec(15, self.payload_bytes);
    codec(16, self.payload_hash);
    codec(17, self.in_hash);
    codec(18, self.sketch);
    codec(19, self.incarnation);
    codec(20, self.seq);
    codec(21, self.prev);
  }
};

/// SHA-256("coshard/receipt/v1" || 0x00 || receipt bytes).
Hash receipt_hash(const Receipt& receipt);

/// The sender's hash chain: an omitted receipt shows as a gap.
class ReceiptChain {
 public:
  ReceiptChain(const NetworkId& network, const NodeId& sender, Incarnation incarnation)
      : network_(network), sender_(sender), incarnation_(incarnation) {}

  /// `unit.stage` is the sending stage, in both directions; `unit.attempt` the receiver's.
  Receipt make_receipt(const Unit& unit, const TensorSent& sent);

 private:
  NetworkId network_;
  NodeId sender_;
  Incarnation incarnation_;
  std::uint64_t next_seq_ = 0;
  Hash prev_{};
};

/// kCorruption, naming the place, unless the receipts are one sender's, of one incarnation, without
/// a gap and each linked to the one before.
Result<void> check_chain(std::span<const Receipt> receipts);

/// Receipts that wait to be signed, by receiver and ledger epoch.
class ReceiptCollector {
 public:
  struct Key {
    NodeId receiver;
    LedgerEpoch epoch;
    auto operator<=>(const Key&) const = default;
  };
  void add(Receipt receipt);
  /// Keys that have receipts, ascending.
  std::vector<Key> waiting() const;
  std::size_t count(const Key& key) const;
  /// Up to limits::kWindowReceiptsMax receipts, oldest first, which are forgotten here.
  std::vector<Receipt> take(const Key& key);

 private:
  std::map<Key, std::vector<Receipt>> waiting_;
};

/// What the sender of a window signs.
struct WindowStatement {
  NetworkId network;
  LedgerEpoch epoch;
  NodeId sender;
  NodeId receiver;
  std::uint64_t window = 0;  ///< per sender and receiver, from 0
  std::uint64_t receipts = 0;
  Hash root{};  ///< RFC 6962 root over the receipts' bytes
  bool operator==(const WindowStatement&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.network);
    codec(2, self.epoch);
    codec(3, self.sender);
    codec(4, self.receiver);
    codec(5, self.window);
    codec(6, self.receipts);
    codec(7, self.root);
  }
};

/// A window as it travels and is kept. `encode` and `decode` (canonical.h) give its bytes.
struct SignedWindow {
  Bytes statement;
  crypto::Signature sender_signature{};
  Bytes receiver_signature;     ///< empty until countersigned, then 64 bytes
  std::vector<Bytes> receipts;  ///< in order of seq
  bool operator==(const SignedWindow&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.statement);
    codec(2, self.sender_signature);
    codec(3, self.receiver_signature);
    codec(4, self.receipts);
  }
};

/// Signs receipts of one network, epoch, sender and receiver, ascending by seq, one to
/// limits::kWindowReceiptsMax of them. `sender` is the operating key of the receipts' sender.
SignedWindow sign_window(const crypto::KeyPair& sender, std::span<const Receipt> receipts,
                         std::uint64_t window);

struct OpenedWindow {
  WindowStatement statement;
  std::vector<Receipt> receipts;
  bool is_countersigned = false;
};

/// Checks everything that needs no memory of the tensors: form, order, root, the sender's signature
/// and, where there is one, the receiver's. kInvalidArgument: malformed. kPermissionDenied: a false
/// signature, or another network.
Result<OpenedWindow> verify_window(const NetworkId& network, const SignedWindow& window);

/// What a node received, checked and used.
class TensorsReceived {
 public:
  struct Tensor {
    DType dtype = DType::kF32;
    BoundaryEncoding encoding = BoundaryEncoding::kNone;
    std::vector<std::uint64_t> shape;
    std::uint64_t payload_bytes = 0;
    Hash payload_hash{};
    bool is_accepted = false;  ///< assignment, finite values and norm were in order
  };
  /// `unit.stage` is the sending stage. A second record of one edge replaces the first.
  void record(const NodeId& sender, const Unit& unit, Direction direction, Tensor tensor);
  const Tensor* find(const Receipt& receipt) const;
  /// Forgets tensors of steps up to and including `step`.
  void forget_through(StepId step);
  std::size_t size() const { return tensors_.size(); }

 private:
  struct Key {
    Unit unit;
    Direction direction = Direction::kForward;
    NodeId sender;
    auto operator<=>(const Key&) const = default;
  };
  std::map<Key, Tensor> tensors_;
};

/// The receiver's signature on a window whose every receipt matches what it received.
/// kPermissionDenied as verify_window, or addressed to another node; kFailedPrecondition, naming
/// the receipt, when a tensor did not come, was refused, or was different.
Result<SignedWindow> countersign(const crypto::KeyPair& receiver, const NetworkId& network,
                                 SignedWindow window, const TensorsReceived& received);

/// The node's claim: what of its work was committed, as the coordinator's commits told it.
struct WorkClaim {
  LedgerEpoch epoch;
  StageIndex stage;
  NodeId node;
  std::uint64_t units = 0;
  std::uint64_t repairs = 0;
};

/// The batch of one stage and epoch over the receipts in `windows` that the node sent from that
/// stage in that epoch; others are passed over. Errors as verify_window.
Result<WorkBatch> make_batch(const Genesis& genesis, const NetworkId& network,
                             const WorkClaim& claim, std::span<const SignedWindow> windows);

/// The node's signature on its batch: the bytes that WorkBatchSubmission carries.
Bytes sign_batch(const crypto::KeyPair& node, const NetworkId& network, const WorkBatch& batch);

}  // namespace coshard::ledger
