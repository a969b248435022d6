// A witness's HTTP: POST /add-checkpoint; GET / for people, GET /checkpoint/<origin> for monitors.
// start(), close(): main; requests on the library's threads.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "ledger/witness.h"
#include "protocol/base/clock.h"

namespace coshard::node {

class WitnessServer {
 public:
  /// Binds and serves. `book` and `clock` outlive the server. kInvalidArgument for a false address,
  /// kUnavailable when the port is taken.
  static Result<std::unique_ptr<WitnessServer>> start(ledger::WitnessBook& book, const Clock& clock,
                                                      const std::string& listen);
  ~WitnessServer();
  WitnessServer(const WitnessServer&) = delete;
  WitnessServer& operator=(const WitnessServer&) = delete;

  /// "HOST:PORT" as bound.
  const std::string& address() const;
  void close();

 private:
  struct State;
  explicit WitnessServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace coshard::node
