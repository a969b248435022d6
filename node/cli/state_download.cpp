// See state_download.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/cli/state_download.h"

#include "protocol/base/log.h"
#include "protocol/transport/zmq_transport.h"
#include "shard/data/file.h"

namespace coshard::cli {

namespace fs = std::filesystem;

namespace {

/// Longer than a holder's patience, so that another one has been asked meanwhile.
constexpr std::chrono::seconds kProgressTimeout{30};
constexpr auto kRenewInterval = limits::kReaderLease / 3;
/// Readers speak under one incarnation: an identity is made for each copy.
constexpr Incarnation kIncarnation{1};

Result<Hash> hash_of(const fs::path& file) {
  COSHARD_ASSIGN(const shard::ReadFile read, shard::ReadFile::open(file, shard::Symlinks::kRefuse));
  return read.hash();
}

}  // namespace

Result<std::unique_ptr<StateDownload>> StateDownload::open(NetworkId network, Renew renew) {
  auto download = std::unique_ptr<StateDownload>(new StateDownload(network, std::move(renew)));
  StateDownload& self = *download;
  COSHARD_TRY(self.renew_(self.identity_.certificate()));
  COSHARD_ASSIGN(self.transport_,
                 transport::make_zmq_transport(self.reactor_, self.identity_,
                                               {.listen = "",
                                                .admission = transport::Admission::kAllowList,
                                                .payload_bytes_max = limits::kStatePieceBytes}));
  self.courier_.emplace(
      *self.transport_, self.identity_, self.clock_,
      node::CourierHandlers{
          [&self](const NodeId& from, wire::Opened opened) {
            self.on_message(from, std::move(opened));
          },
          [&self](const NodeId& peer, const std::string& why) { self.on_lost(peer, why); },
          [&self](const transport::PeerEvent& event) { self.on_link(event); }});
  self.courier_->speak_as(network, kIncarnation, Generation(0));
  self.reactor_.every(limits::kUnitReportInterval, [&self] { self.turn(); });
  self.reactor_.every(limits::kHeartbeatInterval, [&self] { self.heartbeat(); });
  self.reactor_.every(kRenewInterval, [&self] {
    if (const auto renewed = self.renew_(self.identity_.certificate()); !renewed)
      self.trouble_ = renewed.error().message;
  });
  return download;
}

StateDownload::StateDownload(NetworkId network, Renew renew)
    : network_(network), renew_(std::move(renew)) {}

/// All holders at once; should what they sent together be false, each of them alone, so that one
/// liar cannot spoil the honest ones' copy.
Result<void> StateDownload::fetch(const StateSource& source, const fs::path& file) {
  if (const auto there = hash_of(file); there && *there == source.sha256) return {};
  std::error_code ec;
  std::vector<std::vector<transport::PeerAddress>> tries{source.holders};
  if (fs::exists(node::PartFile::part_of(file), ec))
    tries.push_back(source.holders);  // it may be another file's beginning
  if (source.holders.size() > 1)
    for (const transport::PeerAddress& holder : source.holders) tries.push_back({holder});
  Error last;
  for (const auto& holders : tries) {
    auto fetched = fetch_from(source, holders, file);
    if (fetched) {
      auto accepted = node::PartFile::accept(node::PartFile::part_of(file), file, source.sha256);
      if (accepted) return {};
      fetched = tl::unexpected<Error>(
          accepted.error().within("stage " + std::to_string(source.stage.value)));
    }
    last = fetched.error();
    if (last.code != ErrorCode::kCorruption) break;
    fs::remove(node::PartFile::part_of(file), ec);
  }
  return tl::unexpected<Error>(std::move(last));
}

Result<void> StateDownload::fetch_from(const StateSource& source,
                                       const std::vector<transport::PeerAddress>& holders,
                                       const fs::path& file) {
  COSHARD_ASSIGN(part_, node::PartFile::open(node::PartFile::part_of(file), source.bytes_max));
  written_ = {};
  fetch_.emplace(round::StateWanted{source.step, source.stage, source.bytes_max, part_->size()});
  for (const transport::PeerAddress& holder : holders) {
    holders_.insert_or_assign(holder.node, holder);
    admit(holder);
    if (transport_->connected(holder.node)) fetch_->add(holder.node);
    COSHARD_TRY(transport_->connect(holder));
  }
  progress_at_ = clock_.now();
  Result<void> done = run_until_done(source, holders.size());
  if (const auto closed = part_->close(); done && !closed) done = closed;
  fetch_.reset();
  for (const transport::PeerAddress& holder : holders) {
    holders_.erase(holder.node);
    courier_->dismiss(holder.node);
  }
  return done;
}

Result<void> StateDownload::run_until_done(const StateSource& source, std::size_t holders) {
  const std::string stage = "stage " + std::to_string(source.stage.value);
  while (!fetch_->complete()) {
    reactor_.run_once(limits::kUnitReportInterval);
    if (!written_) return written_;
    const std::vector<Error>& refusals = fetch_->refusals();
    // A beginning that is as long as the whole, and yet not it.
    if (!refusals.empty() && refusals.back().code == ErrorCode::kInvalidArgument)
      return fail(ErrorCode::kCorruption, stage + ": " + refusals.back().message);
    if (!fetch_->has_holders() && refusals.size() >= holders)
      return tl::unexpected<Error>(refusals.back().within(stage));
    if (clock_.now() - progress_at_ >= kProgressTimeout)
      return fail(ErrorCode::kDeadlineExceeded,
                  stage + ": nothing came from its " + std::to_string(holders) +
                      " holders for 30 s" + (trouble_.empty() ? "" : " (" + trouble_ + ")") +
                      "; run the command again to go on where it stopped");
  }
  return {};
}

void StateDownload::admit(const transport::PeerAddress& holder) {
  courier_->admit({.node = holder.node,
                   .curve_public = holder.curve_public,
                   .incarnation = Incarnation(0),
                   .newer_incarnation_allowed = true,
                   .generation_min = std::nullopt,
                   .session_bound = false});
}

void StateDownload::on_link(const transport::PeerEvent& event) {
  if (event.kind == transport::PeerEventKind::kConnected) {
    if (fetch_ && holders_.contains(event.peer)) fetch_->add(event.peer);
    return;
  }
  const auto holder = holders_.find(event.peer);
  if (holder != holders_.end())
    trouble_ =
        "node " + event.peer.short_hex() + " at " + holder->second.endpoint + ": " + event.reason;
  if (fetch_) fetch_->remove(event.peer);
}

/// Silent, or refused too often: while it is connected it may still answer.
void StateDownload::on_lost(const NodeId& peer, const std::string& reason) {
  const auto holder = holders_.find(peer);
  if (holder == holders_.end()) return;
  trouble_ = "node " + peer.short_hex() + " at " + holder->second.endpoint + ": " + reason;
  admit(holder->second);
  if (fetch_ && !transport_->connected(peer)) fetch_->remove(peer);
}

void StateDownload::on_message(const NodeId& from, wire::Opened opened) {
  if (!fetch_ || std::holds_alternative<Heartbeat>(opened.message)) return;
  if (const auto* piece = std::get_if<StatePiece>(&opened.message))
    on_piece(from, *piece, opened.payloads.front().bytes);
  else if (const auto* refusal = std::get_if<StateRefused>(&opened.message))
    fetch_->on_refused(from, *refusal, clock_.now());
  else
    courier_->fault(from, "a message that is no answer to a reader");
  turn();
}

void StateDownload::on_piece(const NodeId& from, const StatePiece& piece,
                             const SharedBytes& bytes) {
  const auto news = fetch_->on_piece(from, piece, bytes->size(), clock_.now());
  if (!news) courier_->fault(from, news.error().message);
  if (!news || !*news) return;
  progress_at_ = clock_.now();
  if (const auto taken = part_->take(piece.offset, bytes); !taken && written_) written_ = taken;
}

void StateDownload::turn() {
  courier_->tick();
  if (!fetch_) return;
  for (const round::StateFetch::Ask& one : fetch_->asks(clock_.now()))
    (void)courier_->send(one.holder, one.ask);
}

void StateDownload::heartbeat() {
  for (const auto& [node, address] : holders_)
    if (transport_->connected(node)) (void)courier_->send(node, Heartbeat{});
}

}  // namespace coshard::cli
