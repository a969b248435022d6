// See state_client.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/daemon/state_client.h"

#include <cstdio>

#include "protocol/base/log.h"

namespace coshard::node {

namespace {

/// Longer than a holder's patience, so that another one has been asked meanwhile.
constexpr std::chrono::seconds kProgressTimeout{30};
constexpr std::chrono::seconds kTellInterval{1};

}  // namespace

StateClient::StateClient(PathOf path_of, const Clock& clock, StateClientPorts ports)
    : path_of_(std::move(path_of)),
      clock_(clock),
      ports_(std::move(ports)),
      bulk_("cs-bulk", 1, ports_.run_later) {}

std::filesystem::path StateClient::file() const { return path_of_(offer_->step, offer_->stage); }

std::filesystem::path StateClient::part() const {
  return PartFile::part_of(file(), ports_.self.short_hex());
}

void StateClient::fetch(const round::FetchState& wanted) {
  offer_ = wanted.offer;
  tries_.assign(1, wanted.holders);
  if (wanted.holders.size() > 1)
    for (const NodeId& holder : wanted.holders) tries_.push_back({holder});
  bulk_.start();
  begin();
}

void StateClient::begin() {
  auto opened = PartFile::open(part(), offer_->bytes);
  if (!opened) return finish(opened.error().message);
  part_.emplace(std::move(*opened));
  had_ = part_->size();
  began_at_ = news_at_ = told_at_ = clock_.now();
  asked_.clear();
  fetch_.emplace(round::StateWanted{offer_->step, offer_->stage, offer_->bytes, had_});
  log(LogLevel::kInfo, "node",
      "copies the state of stage " + std::to_string(offer_->stage.value) + " after step " +
          std::to_string(offer_->step.value) + " (" + std::to_string(offer_->bytes) +
          " bytes) from " + std::to_string(tries_.front().size()) + " nodes");
  tick();
}

/// Only who is connected can answer.
void StateClient::follow_connections() {
  for (const NodeId& holder : tries_.front()) {
    const bool connected = ports_.connected(holder);
    if (connected == asked_.contains(holder)) continue;
    if (connected) {
      fetch_->add(holder);
      asked_.insert(holder);
    } else {
      fetch_->remove(holder);
      asked_.erase(holder);
    }
  }
}

void StateClient::ask() {
  for (const round::StateFetch::Ask& one : fetch_->asks(clock_.now()))
    (void)ports_.send(one.holder, one.ask);
}

void StateClient::tick() {
  if (!fetch_) return;
  follow_connections();
  ask();
  const TimePoint now = clock_.now();
  const std::vector<Error>& refusals = fetch_->refusals();
  if (!fetch_->has_holders() && refusals.size() >= tries_.front().size())
    return next_try(refusals.back());
  if (now - news_at_ >= kProgressTimeout)
    return next_try({ErrorCode::kDeadlineExceeded, "nothing came for 30 s from " +
                                                       std::to_string(tries_.front().size()) +
                                                       " nodes that have the state"});
  if (now - told_at_ < kTellInterval) return;
  told_at_ = now;
  ports_.post(
      round::StateProgress{fetch_->bytes_done() - had_, offer_->bytes - had_, now - began_at_});
}

void StateClient::on_piece(const NodeId& from, const StatePiece& piece, const SharedBytes& bytes) {
  if (!fetch_) return;
  const auto news = fetch_->on_piece(from, piece, bytes->size(), clock_.now());
  if (!news) ports_.fault(from, news.error().message);
  if (!news || !*news) return ask();
  news_at_ = clock_.now();
  if (const auto taken = part_->take(piece.offset, bytes); !taken)
    return finish(taken.error().message);
  if (fetch_->complete()) return check_whole();
  ask();
}

void StateClient::on_refused(const NodeId& from, const StateRefused& refusal) {
  if (!fetch_) return;
  fetch_->on_refused(from, refusal, clock_.now());
  ask();
}

void StateClient::check_whole() {
  fetch_.reset();
  if (const auto closed = part_->close(); !closed) return finish(closed.error().message);
  part_.reset();
  const bool taken = bulk_.submit([this, from = part(), to = file(), hash = offer_->file_hash] {
    return [this, accepted = PartFile::accept(from, to, hash)] { on_checked(accepted); };
  });
  if (!taken) finish("the disk thread is closed");
}

void StateClient::on_checked(const Result<void>& accepted) {
  if (accepted) return finish("");
  next_try(accepted.error());
}

/// What was not false may be there already: the next try goes on with it.
void StateClient::next_try(Error why) {
  fetch_.reset();
  part_.reset();
  tries_.pop_front();
  if (why.code != ErrorCode::kCorruption || tries_.empty()) return finish(why.message);
  log(LogLevel::kWarning, "node", why.message + "; asks them one by one");
  begin();
}

void StateClient::finish(const std::string& error) {
  fetch_.reset();
  part_.reset();
  const StepId step = offer_->step;
  offer_.reset();
  if (error.empty()) log(LogLevel::kInfo, "node", "has the state; replays what came meanwhile");
  ports_.post(round::StateFetched{
      step,
      error.empty() ? "" : "the state after step " + std::to_string(step.value) + ": " + error});
}

std::string StateClient::progress() const {
  if (!fetch_) return "";
  const double seconds_so_far = std::max(seconds(clock_.now() - began_at_), 1e-3);
  const auto mb = [](std::uint64_t bytes) { return static_cast<double>(bytes) * 1e-6; };
  char text[160];
  std::snprintf(text, sizeof text, "copying the state after step %llu: %.1f of %.1f MB, %.1f MB/s",
                static_cast<unsigned long long>(offer_->step.value), mb(fetch_->bytes_done()),
                mb(offer_->bytes), mb(fetch_->bytes_done() - had_) / seconds_so_far);
  return text;
}

}  // namespace coshard::node
