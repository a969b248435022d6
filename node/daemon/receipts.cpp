// Receipts, windows, batches.
// SPDX-License-Identifier: Apache-2.0
#include "node/daemon/receipts.h"

#include <algorithm>

#include "node/startup.h"
#include "protocol/base/log.h"

namespace coshard::node {

namespace {

/// Half of what the coordinator waits: so that the batch arrives before it stops waiting.
constexpr auto kCountersignPatience = limits::kSettleTimeout / 4;

ledger::Direction direction_of(round::Direction direction) {
  return direction == round::Direction::kForward ? ledger::Direction::kForward
                                                 : ledger::Direction::kBackward;
}

std::vector<std::uint64_t> shape_of(const Shape& shape) {
  return std::vector<std::uint64_t>(shape.begin(), shape.end());
}

/// Adds what it lives to a counter.
class Stopwatch {
 public:
  Stopwatch(const Clock& clock, Duration& total)
      : clock_(clock), total_(total), began_(clock.now()) {}
  ~Stopwatch() { total_ += clock_.now() - began_; }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  const Clock& clock_;
  Duration& total_;
  const TimePoint began_;
};

}  // namespace

Result<ledger::Genesis> genesis_in(ByteView genesis_entry) {
  COSHARD_ASSIGN(const ledger::LedgerEntry entry, ledger::decode_entry(genesis_entry));
  COSHARD_ASSIGN(const ledger::Body body, ledger::decode_body(entry.body));
  const auto* genesis = std::get_if<ledger::Genesis>(&body.leaf);
  if (genesis == nullptr || entry.index.value != 0)
    return fail(ErrorCode::kInvalidArgument,
                "expected the ledger's first entry with the Welcome, found another");
  return *genesis;
}

Receipts::Receipts(const crypto::Identity& identity, const Clock& clock,
                   std::filesystem::path folder, ReceiptPorts ports)
    : identity_(identity), clock_(clock), folder_(std::move(folder)), ports_(std::move(ports)) {}

void Receipts::take_seat(ReceiptSeat seat) {
  COSHARD_ON(net_);
  if (seat_ && seat_->incarnation == seat.incarnation) return;
  chain_.emplace(seat.network, identity_.node(), seat.incarnation);
  seat_ = std::move(seat);
}

// ---- what happens to tensors --------------------------------------------------------------------

void Receipts::sent(const NodeId& to, const round::TensorKey& key, const KeptTensor& tensor) {
  COSHARD_ON(net_);
  gone_.erase(to);
  COSHARD_CHECK(tensor.hash.has_value());
  const bool forward = key.direction == round::Direction::kForward;
  ledger::TensorSent sent;
  sent.direction = direction_of(key.direction);
  sent.stage_to = StageIndex(forward ? key.unit.stage.value + 1 : key.unit.stage.value - 1);
  sent.receiver = to;
  sent.weights = weights_;
  sent.dtype = tensor.blob.dtype;
  sent.encoding = tensor.blob.encoding;
  sent.shape = shape_of(tensor.blob.shape);
  sent.payload_bytes = tensor.blob.view().size();
  sent.payload_hash = *tensor.hash;
  sent.in_hash = tensor.in_hash;
  // The receiver, too, remembers an edge once: the last one that it used.
  sent_[key.unit.step].insert_or_assign({key, to}, std::move(sent));
}

void Receipts::used(const round::TensorKey& key, const KeptTensor& tensor) {
  COSHARD_ON(net_);
  COSHARD_CHECK(tensor.hash.has_value());
  gone_.erase(tensor.sender);
  received_.record(tensor.sender, key.unit, direction_of(key.direction),
                   {.dtype = tensor.blob.dtype,
                    .encoding = tensor.blob.encoding,
                    .shape = shape_of(tensor.blob.shape),
                    .payload_bytes = tensor.blob.view().size(),
                    .payload_hash = *tensor.hash,
                    .is_accepted = true});
}

void Receipts::dropped(StepId step) {
  sent_.erase(step);
  own_units_.erase(step);
}

// ---- what the coordinator says ------------------------------------------------------------------

/// A stage that lost a replica while it averaged is closed again, under the next attempt.
void Receipts::stage_closed(const StageClosed& closed) {
  if (!seat_ || closed.stage != seat_->stage) return;
  OwnUnits& own = own_units_[closed.step];
  if (closed.attempt < own.attempt) return;
  own = {closed.attempt, 0};
  for (const Contribution& contribution : closed.contributions)
    if (contribution.node == identity_.node()) own.count = contribution.microbatches.size();
}

/// Only what committed earns, so only now receipts are made.
void Receipts::committed(const Commit& commit) {
  COSHARD_ON(net_);
  const StepId step = commit.scalars.step;
  if (step <= committed_ || !chain_) return;
  const Stopwatch stopwatch(clock_, counters_.spent);
  committed_ = step;
  Epoch& epoch = epochs_[commit.ledger_epoch];
  epoch.units += own_units_[step].count;
  epoch.last_step = step;
  own_units_.erase(own_units_.begin(), own_units_.upper_bound(step));
  for (auto& [edge, tensor] : sent_[step]) {
    tensor.epoch = commit.ledger_epoch;
    collector_.add(chain_->make_receipt(edge.first.unit, tensor));
    ++counters_.receipts;
  }
  sent_.erase(sent_.begin(), sent_.upper_bound(step));
  make_windows();
}

void Receipts::make_windows() {
  for (const ledger::ReceiptCollector::Key& key : collector_.waiting()) {
    while (collector_.count(key) > 0) add_window(key.receiver, key.epoch, collector_.take(key));
  }
}

void Receipts::add_window(const NodeId& receiver, LedgerEpoch epoch,
                          const std::vector<ledger::Receipt>& receipts) {
  const WindowKey key{receiver, next_window_[receiver]++};
  ++counters_.windows;
  PendingWindow& pending = pending_[key];
  pending.epoch = epoch;
  pending.window = ledger::sign_window(identity_.operating(), receipts, key.second);
  if (gone_.contains(receiver))
    close_window(key, pending.window);
  else
    send_window(key, pending);
}

void Receipts::split_window(const WindowKey& key) {
  const auto pending = pending_.find(key);
  const LedgerEpoch epoch = pending->second.epoch;
  std::vector<ledger::Receipt> front;
  for (const Bytes& one : pending->second.window.receipts)
    front.push_back(ledger::decode<ledger::Receipt>(one).value());  // encoded by sign_window
  pending_.erase(pending);
  const auto middle = front.begin() + static_cast<std::ptrdiff_t>(front.size() / 2);
  const std::vector<ledger::Receipt> back(middle, front.end());
  front.erase(middle, front.end());
  add_window(key.first, epoch, front);
  add_window(key.first, epoch, back);
}

void Receipts::send_window(const WindowKey& key, PendingWindow& pending) {
  pending.sent_at = clock_.now();
  const wire::Payload payload = wire::hashed(share(ledger::encode(pending.window)));
  (void)ports_.send(key.first, ReceiptWindow{key.second}, std::span(&payload, 1));
}

// ---- what neighbours say ------------------------------------------------------------------------

Result<void> Receipts::on_window(const NodeId& from, const ReceiptWindow& message,
                                 ByteView payload) {
  COSHARD_ON(net_);
  if (!seat_) return {};
  gone_.erase(from);
  const Stopwatch stopwatch(clock_, counters_.spent);
  COSHARD_ASSIGN(ledger::SignedWindow window, ledger::decode<ledger::SignedWindow>(payload));
  COSHARD_ASSIGN(const ledger::OpenedWindow opened, ledger::verify_window(seat_->network, window));
  if (opened.statement.sender != from || opened.statement.window != message.window)
    return fail(ErrorCode::kPermissionDenied, "a window that is not its sender's");
  auto signed_back =
      ledger::countersign(identity_.operating(), seat_->network, std::move(window), received_);
  if (!signed_back) {
    ++counters_.refused;
    const wire::Payload same = wire::hashed(share(to_bytes(payload)));
    (void)ports_.send(from, ReceiptCountersigned{message.window, signed_back.error().message},
                      std::span(&same, 1));
    return {};
  }
  const wire::Payload reply = wire::hashed(share(ledger::encode(*signed_back)));
  (void)ports_.send(from, ReceiptCountersigned{message.window, ""}, std::span(&reply, 1));
  return {};
}

Result<void> Receipts::on_countersigned(const NodeId& from, const ReceiptCountersigned& message,
                                        ByteView payload) {
  COSHARD_ON(net_);
  const WindowKey key{from, message.window};
  const auto pending = pending_.find(key);
  if (pending == pending_.end()) return {};  // answered before
  const Stopwatch stopwatch(clock_, counters_.spent);
  if (!message.refusal.empty()) {
    if (pending->second.window.receipts.size() > 1) {
      split_window(key);
      return {};
    }
    // Of a repair, for instance, that another one overtook: sent, and never computed with.
    log(LogLevel::kInfo, "receipts",
        "node " + from.short_hex() + " does not countersign: " + message.refusal);
    close_window(key, pending->second.window);
    return {};
  }
  COSHARD_ASSIGN(ledger::SignedWindow window, ledger::decode<ledger::SignedWindow>(payload));
  COSHARD_ASSIGN(const ledger::OpenedWindow opened, ledger::verify_window(seat_->network, window));
  if (!opened.is_countersigned || window.statement != pending->second.window.statement)
    return fail(ErrorCode::kPermissionDenied, "a countersignature of another window");
  ++counters_.countersigned;
  close_window(key, std::move(window));
  return {};
}

void Receipts::close_window(const WindowKey& key, ledger::SignedWindow window) {
  const auto pending = pending_.find(key);
  epochs_[pending->second.epoch].windows.push_back(std::move(window));
  pending_.erase(pending);
}

/// Its signature is missing from then on; EpochClose stands in for it.
void Receipts::lost(const NodeId& peer) {
  COSHARD_ON(net_);
  gone_.insert(peer);
  std::vector<WindowKey> gone;
  for (const auto& [key, pending] : pending_)
    if (key.first == peer) gone.push_back(key);
  for (const WindowKey& key : gone) close_window(key, pending_.at(key).window);
}

// ---- the end of an epoch ------------------------------------------------------------------------

void Receipts::settle(LedgerEpoch epoch) {
  COSHARD_ON(net_);
  const TimePoint now = clock_.now();
  Epoch& state = epochs_[epoch];
  if (!state.settling) state.settling = Settling{now, now, {}};
  advance(epoch, state);
}

bool Receipts::windows_pending(LedgerEpoch epoch) const {
  return std::any_of(pending_.begin(), pending_.end(),
                     [&](const auto& entry) { return entry.second.epoch <= epoch; });
}

/// Those that nobody answers go into the batch with one signature.
void Receipts::give_up_windows(LedgerEpoch epoch) {
  std::vector<WindowKey> unanswered;
  for (const auto& [key, pending] : pending_)
    if (pending.epoch <= epoch) unanswered.push_back(key);
  for (const WindowKey& key : unanswered) close_window(key, pending_.at(key).window);
}

void Receipts::advance(LedgerEpoch epoch, Epoch& state) {
  Settling& settling = *state.settling;
  const TimePoint now = clock_.now();
  if (settling.batch.empty()) {
    if (windows_pending(epoch) && now - settling.since < kCountersignPatience) return;
    give_up_windows(epoch);
    if (const auto made = sign_batch(epoch, state); !made) {
      log(LogLevel::kWarning, "receipts", "no work batch: " + made.error().message);
      finish(epoch);
      return;
    }
  } else if (now - settling.since >= limits::kSettleTimeout) {
    finish(epoch);
    return;
  } else if (now - settling.sent_at < limits::kRepeatInterval) {
    return;
  }
  settling.sent_at = now;
  const wire::Payload payload = wire::hashed(share(settling.batch));
  (void)ports_.send(seat_->coordinator, WorkBatchSubmission{epoch, seat_->stage},
                    std::span(&payload, 1));
}

Result<void> Receipts::sign_batch(LedgerEpoch epoch, Epoch& state) {
  const Stopwatch stopwatch(clock_, counters_.spent);
  if (state.units == 0)
    return fail(ErrorCode::kNotFound, "no unit of this node was committed in this epoch");
  const ledger::WorkClaim claim{epoch, seat_->stage, identity_.node(), state.units, 0};
  COSHARD_ASSIGN(const ledger::WorkBatch batch,
                 ledger::make_batch(seat_->genesis, seat_->network, claim, state.windows));
  state.settling->batch = ledger::sign_batch(identity_.operating(), seat_->network, batch);
  ++counters_.batches;
  keep_windows(epoch, state);
  return {};
}

void Receipts::batch_taken(const WorkBatchSubmission& message) {
  COSHARD_ON(net_);
  const auto state = epochs_.find(message.epoch);
  if (state != epochs_.end() && state->second.settling) finish(message.epoch);
}

void Receipts::finish(LedgerEpoch epoch) {
  epochs_.at(epoch).settling.reset();
  epochs_.at(epoch).windows.clear();
  ports_.settled(epoch);
  // Late windows of neighbours are still answered for one epoch; epochs that others of ours wait
  // for stay.
  while (epochs_.size() > 1 && epochs_.begin()->first < epoch &&
         !epochs_.begin()->second.settling) {
    received_.forget_through(epochs_.begin()->second.last_step);
    epochs_.erase(epochs_.begin());
  }
}

void Receipts::tick(bool coordinator_silent) {
  COSHARD_ON(net_);
  const TimePoint now = clock_.now();
  if (coordinator_silent)
    for (auto& [epoch, state] : epochs_)
      if (state.settling && !state.settling->batch.empty()) state.settling->since = now;
  for (auto& [key, pending] : pending_)
    if (now - pending.sent_at >= limits::kRepeatInterval) send_window(key, pending);
  std::vector<LedgerEpoch> settling;  // finish() changes the table
  for (const auto& [epoch, state] : epochs_)
    if (state.settling) settling.push_back(epoch);
  for (const LedgerEpoch epoch : settling) advance(epoch, epochs_.at(epoch));
}

/// For audits to come: one file per epoch, the newest limits::kReceiptEpochsKept of them.
void Receipts::keep_windows(LedgerEpoch epoch, const Epoch& state) const {
  Bytes bytes;
  for (const ledger::SignedWindow& window : state.windows) {
    const Bytes encoded = ledger::encode(window);
    put_le(bytes, static_cast<std::uint32_t>(encoded.size()));
    append(bytes, encoded);
  }
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  const auto name = [&](std::uint64_t number) {
    return folder_ / ("epoch-" + std::to_string(number) + ".windows");
  };
  if (const auto written = replace_file(name(epoch.value), as_text(bytes)); !written)
    log(LogLevel::kWarning, "receipts", written.error().message);
  if (epoch.value >= limits::kReceiptEpochsKept)
    std::filesystem::remove(name(epoch.value - limits::kReceiptEpochsKept), error);
}

}  // namespace coshard::node
