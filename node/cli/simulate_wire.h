// What a message costs the coordinator on the wire, from the real codec and the real keys: each
// message that the simulation asks about is sealed, or opened, and timed. One thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "crypto/keys.h"
#include "protocol/sim/coordinator_load.h"
#include "protocol/wire/envelope.h"

namespace coshard::cli {

/// Processor time of the calling thread; its wall time is that of the machine.
class ThreadCpuClock final : public Clock {
 public:
  TimePoint now() const override;
  std::uint64_t wall_ms() const override;
};

class SealedWire final : public sim::Wire {
 public:
  /// `cpu` outlives the wire.
  explicit SealedWire(const Clock& cpu);
  sim::MessageCost sent(const Message& message) override;
  sim::MessageCost received(const Message& message) override;

 private:
  wire::Frame seal(const Message& message);

  const Clock& cpu_;
  crypto::KeyPair keys_ = crypto::KeyPair::generate();
  wire::Sealer sealer_;
};

/// What one member takes of a message that names all of them.
std::uint64_t table_bytes_per_member();

}  // namespace coshard::cli
