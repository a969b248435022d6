// The whole state as bytes and back.
// SPDX-License-Identifier: Apache-2.0
#include "ledger/accounts.h"

namespace coshard::ledger {

template <class Codec, class Self>
void Accounts::state(Codec& codec, Self& self) {
  codec(self.size_, self.genesis_, self.network_, self.coordinator_sequence_, self.seq_ms_);
  codec(self.nodes_, self.witnesses_, self.log_keys_, self.open_, self.epochs_);
  codec(self.committed_step_, self.covered_step_, self.checkpoints_, self.finished_);
  codec(self.params_, self.grants_);
  codec(self.totals_, self.pool_, self.balances_, self.vesting_, self.bond_returns_);
  codec(self.recoveries_, self.roots_, self.reserved_);
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

}  // namespace coshard::ledger
