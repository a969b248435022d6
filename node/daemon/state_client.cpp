// See state_client.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/daemon/state_client.h"

#include <algorithm>

#include "protocol/base/log.h"
#include "protocol/base/quantity.h"

namespace coshard::node {

namespace {

constexpr std::chrono::seconds kTellInterval{1};

}  // namespace

StateClient::StateClient(PathOf path_of, const Clock& clock, StateClientPorts ports)
    : path_of_(std::move(path_of)),
      clock_(clock),
      ports_(std::move(ports)),
      bulk_("cs-bulk", 1, ports_.run_later) {}

std::filesystem::path StateClient::path() const { return path_of_(file_->step, file_->stage); }

std::filesystem::path StateClient::part() const {
  return PartFile::part_of(path(), ports_.self.short_hex());
}

void StateClient::fetch(const round::FetchState& wanted) {
  file_ = wanted.file;
  copy_.emplace(wanted.file, wanted.holders);
  bulk_.start();
  begin();
}

void StateClient::begin() {
  auto opened = PartFile::open(part(), file_->bytes);
  if (!opened) return finish(opened.error().message);
  part_.emplace(std::move(*opened));
  told_at_ = clock_.now();
  copy_->begin(part_->size(), told_at_);
  log(LogLevel::kInfo, "node",
      "copies the state of stage " + std::to_string(file_->stage.value) + " after step " +
          std::to_string(file_->step.value) + " (" + bytes_text(file_->bytes) + ") from " +
          std::to_string(copy_->holders().size()) + " nodes");
  tick();
}

void StateClient::ask() {
  for (const round::StateFetch::Ask& one : copy_->asks(clock_.now()))
    (void)ports_.send(one.holder, one.ask);
}

void StateClient::tick() {
  if (!is_copying()) return;
  for (const NodeId& holder : copy_->holders())
    copy_->set_connected(holder, ports_.connected(holder));
  ask();
  const TimePoint now = clock_.now();
  if (const auto why = copy_->failure(now)) return next_try(*why);
  if (now - told_at_ < kTellInterval) return;
  told_at_ = now;
  const std::uint64_t before = copy_->bytes_done() - copy_->bytes_come();
  ports_.post(
      round::StateProgress{copy_->bytes_come(), file_->bytes - before, now - copy_->since()});
}

void StateClient::on_piece(const NodeId& from, const StatePiece& piece, const SharedBytes& bytes) {
  if (!is_copying()) return;
  const auto news = copy_->on_piece(from, piece, bytes->size(), clock_.now());
  if (!news) ports_.fault(from, news.error().message);
  if (!news || !*news) return ask();
  if (const auto taken = part_->take(piece.offset, bytes); !taken)
    return finish(taken.error().message);
  if (copy_->complete()) return check_whole();
  ask();
}

void StateClient::on_refused(const NodeId& from, const StateRefused& refusal) {
  if (!is_copying()) return;
  copy_->on_refused(from, refusal, clock_.now());
  ask();
}

void StateClient::check_whole() {
  const auto closed = part_->close();
  part_.reset();
  if (!closed) return finish(closed.error().message);
  const bool taken = bulk_.submit([this, from = part(), to = path(), hash = file_->file_hash] {
    return [this, accepted = PartFile::accept(from, to, hash)] { on_checked(accepted); };
  });
  if (!taken) finish("the disk thread is closed");
}

void StateClient::on_checked(const Result<void>& accepted) {
  if (accepted) return finish("");
  next_try(accepted.error());
}

void StateClient::next_try(const Error& why) {
  part_.reset();
  if (!copy_->try_again(why)) return finish(why.message);
  PartFile::discard(part());
  log(LogLevel::kWarning, "node", why.message + "; asks again");
  begin();
}

void StateClient::finish(const std::string& error) {
  copy_.reset();
  part_.reset();
  const StepId step = file_->step;
  file_.reset();
  if (error.empty()) log(LogLevel::kInfo, "node", "has the state; replays what came meanwhile");
  ports_.post(round::StateFetched{
      step,
      error.empty() ? "" : "the state after step " + std::to_string(step.value) + ": " + error});
}

std::string StateClient::progress() const {
  if (!is_copying()) return "";
  const double so_far = std::max(seconds(clock_.now() - copy_->since()), 1e-3);
  return "copying the state after step " + std::to_string(file_->step.value) + ": " +
         bytes_text(copy_->bytes_done()) + " of " + bytes_text(file_->bytes) + ", " +
         bytes_text(static_cast<double>(copy_->bytes_come()) / so_far) + "/s";
}

}  // namespace coshard::node
