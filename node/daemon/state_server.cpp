// See state_server.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/daemon/state_server.h"

#include "node/checkpoint_path.h"
#include "node/daemon/shard_keeper.h"
#include "protocol/base/log.h"
#include "shard/data/file.h"

namespace coshard::node {

namespace {

struct PieceRead {
  std::uint64_t bytes_total = 0;
  Result<wire::Payload> piece;
};

/// On cs-bulk.
PieceRead read_piece(const std::filesystem::path& file, const StateAsk& ask) {
  const auto state = shard::ReadFile::open(file, shard::Symlinks::kRefuse);
  if (!state)
    return {0, fail(ErrorCode::kNotFound,
                    "the state after step " + std::to_string(ask.step.value) +
                        " is not on this disk (any more); ask for that of the newest checkpoint")};
  const auto bytes = round::piece_bytes(ask, state->size());
  if (!bytes) return {0, tl::unexpected<Error>(bytes.error())};
  Bytes piece(*bytes);
  if (const auto read = state->read_at(ask.offset, piece); !read)
    return {0, tl::unexpected<Error>(read.error())};
  return {state->size(), wire::hashed(share(std::move(piece)))};
}

}  // namespace

StateServer::StateServer(std::filesystem::path checkpoints, const Clock& clock,
                         StateServerPorts ports)
    : checkpoints_(std::move(checkpoints)),
      clock_(clock),
      ports_(std::move(ports)),
      bulk_("cs-bulk", limits::kStatePiecesInHand, ports_.post) {}

void StateServer::on_readers(const ReaderList& list,
                             const std::function<bool(const NodeId&)>& is_member) {
  if (!holder_.open) return;  // whatever a coordinator says, nobody reads a protected round
  for (const Reader& reader : list.readers) {
    const auto certificate = crypto::NodeCertificate::decode(reader.certificate);
    const bool sound = certificate && certificate->verify() && certificate->node() == reader.node &&
                       !is_member(reader.node);
    if (!sound) continue;
    const auto changed = readers_.name(reader, clock_.now());
    if (!changed || !*changed) continue;
    log(LogLevel::kDebug, "node", "reader " + reader.node.short_hex() + " may copy this stage");
    ports_.admit(*certificate, reader.incarnation);
    bulk_.start();
  }
}

void StateServer::set_joiners(std::set<NodeId> joiners) {
  joiners_ = std::move(joiners);
  if (!joiners_.empty()) bulk_.start();
}

void StateServer::lost(const NodeId& reader) {
  readers_.forget(reader);
  ports_.dismiss(reader);
}

void StateServer::heartbeat(const Heartbeat& alive) {
  for (const NodeId& over : readers_.expire(clock_.now())) ports_.dismiss(over);
  for (const Reader& reader : readers_.list().readers) (void)ports_.send(reader.node, alive, {});
}

std::size_t StateServer::in_hand_of(const NodeId& reader) const {
  const auto found = in_hand_.find(reader);
  return found == in_hand_.end() ? 0 : found->second;
}

void StateServer::on_ask(const NodeId& from, const StateAsk& ask) {
  const auto asker = joiners_.contains(from)   ? round::Asker::kJoiner
                     : is_reader(from)         ? round::Asker::kReader
                     : members_.contains(from) ? round::Asker::kMember
                                               : round::Asker::kStranger;
  if (const auto allowed = round::may_read(ask, asker, holder_); !allowed)
    return refuse(from, ask, allowed.error());
  const std::size_t held = in_hand_of(from) * limits::kStatePieceBytes + ports_.in_flight(from);
  if (in_hand_total_ >= limits::kStatePiecesInHand ||
      held >= limits::kStatePiecesPerNode * limits::kStatePieceBytes)
    return refuse(from, ask, {ErrorCode::kResourceExhausted, "busy with earlier pieces"});
  const auto file = asker == round::Asker::kMember
                        ? sealed_path(checkpoints_, ask.step, ask.stage)
                        : checkpoint_path(checkpoints_, ask.step, holder_.stage);
  bulk_.start();
  const bool taken = bulk_.submit([this, from, ask, file] {
    return [this, from, ask, read = read_piece(file, ask)] {
      deliver(from, ask, read.bytes_total, read.piece);
    };
  });
  if (!taken) return refuse(from, ask, {ErrorCode::kResourceExhausted, "busy"});
  ++in_hand_[from];
  ++in_hand_total_;
}

void StateServer::deliver(const NodeId& to, const StateAsk& ask, std::uint64_t bytes_total,
                          Result<wire::Payload> piece) {
  --in_hand_total_;
  if (--in_hand_[to] == 0) in_hand_.erase(to);
  if (!serves(to)) return;  // it has left meanwhile
  if (!piece) return refuse(to, ask, piece.error());
  const StatePiece message{ask.step, ask.stage, ask.offset, bytes_total};
  if (ports_.send(to, message, std::span(&*piece, 1))) ++pieces_sent_;
}

void StateServer::refuse(const NodeId& to, const StateAsk& ask, const Error& why) {
  (void)ports_.send(to, StateRefused{ask.step, ask.stage, ask.offset, why.code, why.message}, {});
}

}  // namespace coshard::node
