// The whole state as bytes and back.
// SPDX-License-Identifier: Apache-2.0
#include "ledger/accounts.h"

namespace coshard::ledger {

/// What no account is in, but for epochs, payouts and statements of revenue.
template <class Codec, class Self>
void Accounts::frame(Codec& codec, Self& self) {
  codec(self.size_, self.genesis_, self.network_, self.coordinator_sequence_, self.seq_ms_);
  codec(self.nodes_, self.witnesses_, self.log_keys_, self.open_);
  codec(self.committed_step_, self.covered_step_, self.checkpoints_, self.finished_);
  codec(self.params_, self.grants_, self.totals_, self.pool_, self.roots_, self.reserved_);
}

template <class Codec, class Self>
void Accounts::state(Codec& codec, Self& self) {
  frame(codec, self);
  codec(self.epochs_, self.balances_, self.vesting_, self.bond_returns_, self.recoveries_);
  codec(self.payouts_, self.revenues_, self.statements_);
}

Bytes Accounts::serialize() const {
  StateWriter writer;
  state(writer, *this);
  return writer.take();
}

Result<Accounts> Accounts::restore(ByteView bytes) {
  Accounts out;
  StateReader reader(bytes);
  state(reader, out);
  if (reader.done()) return out;
  return fail(ErrorCode::kCorruption, "the stored state of the accounts cannot be read");
}

Bytes Accounts::serialize_frame() const {
  StateWriter writer;
  frame(writer, *this);
  writer(static_cast<std::uint64_t>(epochs_.size()));
  return writer.take();
}

namespace {

/// The part of a map that is one account's.
template <class Map>
std::optional<typename Map::mapped_type> part_of(const Map& map, const AccountId& account) {
  const auto found = map.find(account);
  if (found == map.end()) return std::nullopt;
  return found->second;
}

template <class Map>
void put_part(StateReader& reader, Map& map, const AccountId& account) {
  std::optional<typename Map::mapped_type> part;
  reader(part);
  if (part) map.insert_or_assign(account, std::move(*part));
}

}  // namespace

Bytes Accounts::serialize_account(const AccountId& account) const {
  StateWriter writer;
  writer(part_of(balances_, account), part_of(vesting_, account), part_of(bond_returns_, account),
         part_of(recoveries_, account));
  std::map<std::uint64_t, std::uint64_t> on_the_way;
  for (auto at = payouts_.lower_bound({account, 0});
       at != payouts_.end() && at->first.first == account; ++at) {
    on_the_way.emplace(at->first.second, at->second);
  }
  writer(on_the_way);
  return writer.take();
}

Result<Accounts> Accounts::restore_view(ByteView frame_bytes,
                                        std::span<const std::pair<AccountId, Bytes>> accounts) {
  Accounts out;
  StateReader reader(frame_bytes);
  frame(reader, out);
  std::uint64_t epochs = 0;
  reader(epochs);
  bool whole = reader.done() && epochs <= out.size_;
  if (whole) out.epochs_.resize(epochs);
  for (const auto& [account, bytes] : accounts) {
    StateReader own(bytes);
    put_part(own, out.balances_, account);
    put_part(own, out.vesting_, account);
    put_part(own, out.bond_returns_, account);
    put_part(own, out.recoveries_, account);
    std::map<std::uint64_t, std::uint64_t> on_the_way;
    own(on_the_way);
    for (const auto& [number, amount] : on_the_way) out.payouts_[{account, number}] = amount;
    whole = whole && own.done();
  }
  if (whole) return out;
  return fail(ErrorCode::kCorruption, "the stored state of the accounts cannot be read");
}

}  // namespace coshard::ledger
