// SPDX-License-Identifier: Apache-2.0
#include "ledger/receipt.h"

#include <algorithm>

#include "crypto/hash.h"
#include "crypto/signed_payload.h"
#include "ledger/merkle.h"
#include "ledger/pricing.h"
#include "protocol/base/check.h"
#include "protocol/base/limits.h"

namespace coshard::ledger {
namespace {

constexpr std::size_t kSketchBytesMax = 1024;

tl::unexpected<Error> malformed(const std::string& why) {
  return fail(ErrorCode::kInvalidArgument, "receipt window: " + why);
}

std::string place(const Receipt& receipt) {
  return "receipt " + std::to_string(receipt.seq) + " (step " + std::to_string(receipt.step.value) +
         ", microbatch " + std::to_string(receipt.microbatch.value) + ", stage " +
         std::to_string(receipt.stage_from.value) + " to " +
         std::to_string(receipt.stage_to.value) + ")";
}

Hash root_over(const std::vector<Bytes>& receipts) {
  CompactTree tree;
  for (const Bytes& one : receipts) tree.append(leaf_hash(one));
  return tree.root();
}

/// The receiver signs a hash of what the sender signed and of that signature.
Hash countersigned_hash(const SignedWindow& window) {
  return crypto::domain_hash("coshard/window/v1", {window.sender_signature, window.statement});
}

bool is_well_formed(const Receipt& receipt) {
  const bool forward = receipt.direction == Direction::kForward &&
                       receipt.stage_to.value == receipt.stage_from.value + 1;
  const bool backward = receipt.direction == Direction::kBackward &&
                        receipt.stage_from.value == receipt.stage_to.value + 1;
  return (forward || backward) && item_bytes(receipt.dtype) != 0 &&
         receipt.encoding <= BoundaryEncoding::kSubspace &&
         receipt.shape.size() <= limits::kDimensionsMax &&
         receipt.payload_bytes <= limits::kPayloadBytesMax &&
         receipt.sketch.size() <= kSketchBytesMax;
}

bool belongs_to(const Receipt& receipt, const WindowStatement& statement) {
  return receipt.network == statement.network && receipt.epoch == statement.epoch &&
         receipt.sender == statement.sender && receipt.receiver == statement.receiver;
}

Result<std::vector<Receipt>> decode_receipts(const WindowStatement& statement,
                                             const std::vector<Bytes>& encoded) {
  std::vector<Receipt> out;
  out.reserve(encoded.size());
  for (const Bytes& bytes : encoded) {
    COSHARD_ASSIGN(Receipt receipt, decode<Receipt>(bytes));
    if (!is_well_formed(receipt) || !belongs_to(receipt, statement)) {
      return malformed(place(receipt) + " does not belong in it");
    }
    if (!out.empty() && std::pair(out.back().incarnation, out.back().seq) >=
                            std::pair(receipt.incarnation, receipt.seq)) {
      return malformed(place(receipt) + " is out of order");
    }
    out.push_back(std::move(receipt));
  }
  return out;
}

}  // namespace

Hash receipt_hash(const Receipt& receipt) {
  return crypto::domain_hash("coshard/receipt/v1", {encode(receipt)});
}

Receipt ReceiptChain::make_receipt(const Unit& unit, const TensorSent& sent) {
  Receipt out;
  out.network = network_;
  out.epoch = sent.epoch;
  out.step = unit.step;
  out.microbatch = unit.microbatch;
  out.stage_from = unit.stage;
  out.stage_to = sent.stage_to;
  out.direction = sent.direction;
  out.attempt = unit.attempt;
  out.sender = sender_;
  out.receiver = sent.receiver;
  out.weights = sent.weights;
  out.dtype = sent.dtype;
  out.encoding = sent.encoding;
  out.shape = sent.shape;
  out.payload_bytes = sent.payload_bytes;
  out.payload_hash = sent.payload_hash;
  out.in_hash = sent.in_hash;
  out.sketch = sent.sketch;
  out.incarnation = incarnation_;
  out.seq = next_seq_++;
  out.prev = prev_;
  COSHARD_CHECK(is_well_formed(out));
  prev_ = receipt_hash(out);
  return out;
}

Result<void> check_chain(std::span<const Receipt> receipts) {
  for (std::size_t i = 1; i < receipts.size(); ++i) {
    const Receipt& before = receipts[i - 1];
    const Receipt& here = receipts[i];
    if (here.sender != before.sender || here.incarnation != before.incarnation ||
        here.seq != before.seq + 1 || here.prev != receipt_hash(before)) {
      return fail(ErrorCode::kCorruption, place(here) + " does not follow receipt " +
                                              std::to_string(before.seq) + " of its sender");
    }
  }
  return {};
}

void ReceiptCollector::add(Receipt receipt) {
  const Key key{receipt.receiver, receipt.epoch};
  waiting_[key].push_back(std::move(receipt));
}

std::vector<ReceiptCollector::Key> ReceiptCollector::waiting() const {
  std::vector<Key> out;
  for (const auto& [key, receipts] : waiting_) out.push_back(key);
  return out;
}

std::size_t ReceiptCollector::count(const Key& key) const {
  const auto found = waiting_.find(key);
  return found == waiting_.end() ? 0 : found->second.size();
}

std::vector<Receipt> ReceiptCollector::take(const Key& key) {
  const auto found = waiting_.find(key);
  if (found == waiting_.end()) return {};
  std::vector<Receipt>& all = found->second;
  const auto end =
      all.begin() + static_cast<std::ptrdiff_t>(std::min(all.size(), limits::kWindowReceiptsMax));
  std::vector<Receipt> out(std::make_move_iterator(all.begin()), std::make_move_iterator(end));
  all.erase(all.begin(), end);
  if (all.empty()) waiting_.erase(found);
  return out;
}

SignedWindow sign_window(const crypto::KeyPair& sender, std::span<const Receipt> receipts,
                         std::uint64_t window) {
  COSHARD_CHECK(!receipts.empty() && receipts.size() <= limits::kWindowReceiptsMax);
  SignedWindow out;
  for (const Receipt& receipt : receipts) out.receipts.push_back(encode(receipt));
  WindowStatement statement;
  statement.network = receipts.front().network;
  statement.epoch = receipts.front().epoch;
  statement.sender = receipts.front().sender;
  statement.receiver = receipts.front().receiver;
  statement.window = window;
  statement.receipts = receipts.size();
  statement.root = root_over(out.receipts);
  COSHARD_CHECK(statement.sender.bytes == sender.public_key());
  COSHARD_CHECK(std::all_of(receipts.begin(), receipts.end(),
                            [&](const Receipt& one) { return belongs_to(one, statement); }));
  out.statement = encode(statement);
  out.sender_signature = crypto::sign_payload(sender, crypto::domains::kReceiptWindow,
                                              statement.network, out.statement);
  return out;
}

Result<OpenedWindow> verify_window(const NetworkId& network, const SignedWindow& window) {
  OpenedWindow out;
  COSHARD_ASSIGN(out.statement, decode<WindowStatement>(window.statement));
  const WindowStatement& statement = out.statement;
  if (statement.network != network) {
    return fail(ErrorCode::kPermissionDenied, "receipt window of another network");
  }
  if (!crypto::verify_payload(statement.sender.bytes, crypto::domains::kReceiptWindow, network,
                              window.statement, window.sender_signature)) {
    return fail(ErrorCode::kPermissionDenied, "receipt window: the sender's signature is false");
  }
  if (window.receipts.empty() || window.receipts.size() > limits::kWindowReceiptsMax ||
      window.receipts.size() != statement.receipts || statement.sender == statement.receiver) {
    return malformed("its number of receipts, or its ends, are wrong");
  }
  COSHARD_ASSIGN(out.receipts, decode_receipts(statement, window.receipts));
  if (root_over(window.receipts) != statement.root) {
    return malformed("its receipts do not have the signed root");
  }
  if (window.receiver_signature.empty()) return out;
  const auto signature = to_array<64>(window.receiver_signature);
  if (!signature || !crypto::verify_payload(statement.receiver.bytes, crypto::domains::kCountersign,
                                            network, countersigned_hash(window), *signature)) {
    return fail(ErrorCode::kPermissionDenied, "receipt window: the receiver's signature is false");
  }
  out.is_countersigned = true;
  return out;
}

void TensorsReceived::record(const NodeId& sender, const Unit& unit, Direction direction,
                             Tensor tensor) {
  tensors_.insert_or_assign(Key{unit, direction, sender}, std::move(tensor));
}

const TensorsReceived::Tensor* TensorsReceived::find(const Receipt& receipt) const {
  const auto found = tensors_.find(Key{receipt.unit(), receipt.direction, receipt.sender});
  return found == tensors_.end() ? nullptr : &found->second;
}

void TensorsReceived::forget_through(StepId step) {
  // Keys are ordered by step first.
  Key first;
  first.unit.step = step.next();
  first.direction = static_cast<Direction>(0);
  tensors_.erase(tensors_.begin(), tensors_.lower_bound(first));
}

Result<SignedWindow> countersign(const crypto::KeyPair& receiver, const NetworkId& network,
                                 SignedWindow window, const TensorsReceived& received) {
  COSHARD_ASSIGN(const OpenedWindow opened, verify_window(network, window));
  if (opened.statement.receiver.bytes != receiver.public_key()) {
    return fail(ErrorCode::kPermissionDenied, "receipt window is addressed to another node");
  }
  std::map<std::pair<Unit, Direction>, std::uint64_t> seen;
  for (const Receipt& receipt : opened.receipts) {
    const TensorsReceived::Tensor* tensor = received.find(receipt);
    if (tensor == nullptr || !tensor->is_accepted) {
      return fail(ErrorCode::kFailedPrecondition,
                  place(receipt) + ": its tensor did not come, or was refused");
    }
    if (tensor->payload_hash != receipt.payload_hash ||
        tensor->payload_bytes != receipt.payload_bytes || tensor->dtype != receipt.dtype ||
        tensor->encoding != receipt.encoding || tensor->shape != receipt.shape) {
      return fail(ErrorCode::kFailedPrecondition,
                  place(receipt) + ": another tensor came than the one it describes");
    }
    if (!seen.emplace(std::pair(receipt.unit(), receipt.direction), receipt.seq).second) {
      return fail(ErrorCode::kFailedPrecondition,
                  place(receipt) + ": a second receipt of one edge");
    }
  }
  const crypto::Signature signature = crypto::sign_payload(receiver, crypto::domains::kCountersign,
                                                           network, countersigned_hash(window));
  window.receiver_signature.assign(signature.begin(), signature.end());
  return window;
}

Result<WorkBatch> make_batch(const Genesis& genesis, const NetworkId& network,
                             const WorkClaim& claim, std::span<const SignedWindow> windows) {
  WorkBatch out;
  std::map<std::pair<Incarnation, std::uint64_t>, Hash> leaves;  // in order of the sender's chain
  for (const SignedWindow& window : windows) {
    COSHARD_ASSIGN(const OpenedWindow opened, verify_window(network, window));
    if (opened.statement.sender != claim.node || opened.statement.epoch != claim.epoch) continue;
    for (std::size_t i = 0; i < opened.receipts.size(); ++i) {
      const Receipt& receipt = opened.receipts[i];
      if (receipt.stage_from != claim.stage) continue;
      leaves.emplace(std::pair(receipt.incarnation, receipt.seq), leaf_hash(window.receipts[i]));
      if (opened.is_countersigned) ++out.countersigned;
    }
  }
  CompactTree tree;
  for (const auto& [place_in_chain, leaf] : leaves) tree.append(leaf);
  out.epoch = claim.epoch;
  out.stage = claim.stage;
  out.node = claim.node;
  out.units = claim.units;
  out.repairs = claim.repairs;
  out.tokens = (claim.units + claim.repairs) * genesis.tokens_per_microbatch;
  out.flops = price(genesis, claim.stage, out.tokens);
  out.receipts_root = tree.root();
  out.receipts = tree.size();
  return out;
}

Bytes sign_batch(const crypto::KeyPair& node, const NetworkId& network, const WorkBatch& batch) {
  return encode(sign_body(node, network, work_batch_sequence(batch.epoch, batch.stage), batch));
}

}  // namespace coshard::ledger
