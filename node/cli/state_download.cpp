// See state_download.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/cli/state_download.h"

#include <algorithm>
#include <utility>

#include "protocol/base/log.h"
#include "protocol/transport/zmq_transport.h"
#include "shard/data/file.h"

namespace coshard::cli {

namespace fs = std::filesystem;

namespace {

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

Result<void> StateDownload::fetch(const StateSource& source, const fs::path& file) {
  if (const auto there = hash_of(file); there && *there == source.sha256) return {};
  std::vector<NodeId> holders;
  for (const transport::PeerAddress& holder : source.holders) holders.push_back(holder.node);
  copy_.emplace(ShardFile{source.step, source.stage, source.sha256, source.bytes_max}, holders);
  Result<void> fetched;
  do {
    if (!fetched) node::PartFile::discard(node::PartFile::part_of(file));
    fetched = try_once(source, file);
  } while (!fetched && copy_->try_again(fetched.error()));
  copy_.reset();
  if (fetched) return {};
  Error why = fetched.error();
  if (why.code == ErrorCode::kDeadlineExceeded)
    why.message += (trouble_.empty() ? "" : " (" + trouble_ + ")") +
                   std::string("; run the command again to go on where it stopped");
  return tl::unexpected<Error>(why.within("stage " + std::to_string(source.stage.value)));
}

Result<void> StateDownload::try_once(const StateSource& source, const fs::path& file) {
  const fs::path part = node::PartFile::part_of(file);
  COSHARD_ASSIGN(part_, node::PartFile::open(part, source.bytes_max));
  copy_->begin(part_->size(), clock_.now());
  Result<void> done;
  for (const transport::PeerAddress& holder : source.holders) {
    if (std::ranges::find(copy_->holders(), holder.node) == copy_->holders().end()) continue;
    holders_.insert_or_assign(holder.node, holder);
    admit(holder);
    if (done) done = transport_->connect(holder);
  }
  if (done) done = run_until_whole();
  if (const auto closed = part_->close(); done && !closed) done = closed;
  part_.reset();
  for (const auto& [holder, address] : std::exchange(holders_, {})) courier_->dismiss(holder);
  return done ? node::PartFile::accept(part, file, source.sha256) : done;
}

Result<void> StateDownload::run_until_whole() {
  written_ = {};
  while (!copy_->complete()) {
    reactor_.run_once(limits::kUnitReportInterval);
    if (!written_) return written_;
    if (auto why = copy_->failure(clock_.now())) return tl::unexpected<Error>(*std::move(why));
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
  if (event.kind == transport::PeerEventKind::kConnected) return turn();
  const auto holder = holders_.find(event.peer);
  if (holder != holders_.end())
    trouble_ =
        "node " + event.peer.short_hex() + " at " + holder->second.endpoint + ": " + event.reason;
}

/// Silent, or refused too often: while it is connected it may still answer.
void StateDownload::on_lost(const NodeId& peer, const std::string& reason) {
  const auto holder = holders_.find(peer);
  if (holder == holders_.end()) return;
  trouble_ = "node " + peer.short_hex() + " at " + holder->second.endpoint + ": " + reason;
  admit(holder->second);
}

void StateDownload::on_message(const NodeId& from, wire::Opened opened) {
  if (!part_ || std::holds_alternative<Heartbeat>(opened.message)) return;
  if (const auto* piece = std::get_if<StatePiece>(&opened.message))
    on_piece(from, *piece, opened.payloads.front().bytes);
  else if (const auto* refusal = std::get_if<StateRefused>(&opened.message))
    copy_->on_refused(from, *refusal, clock_.now());
  else
    courier_->fault(from, "a message that is no answer to a reader");
  turn();
}

void StateDownload::on_piece(const NodeId& from, const StatePiece& piece,
                             const SharedBytes& bytes) {
  const auto news = copy_->on_piece(from, piece, bytes->size(), clock_.now());
  if (!news) courier_->fault(from, news.error().message);
  if (!news || !*news) return;
  if (const auto taken = part_->take(piece.offset, bytes); !taken && written_) written_ = taken;
}

void StateDownload::turn() {
  courier_->tick();
  if (!part_) return;
  for (const NodeId& holder : copy_->holders())
    copy_->set_connected(holder, transport_->connected(holder));
  for (const round::StateFetch::Ask& one : copy_->asks(clock_.now()))
    (void)courier_->send(one.holder, one.ask);
}

void StateDownload::heartbeat() {
  for (const auto& [node, address] : holders_)
    if (transport_->connected(node)) (void)courier_->send(node, Heartbeat{});
}

}  // namespace coshard::cli
