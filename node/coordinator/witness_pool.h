// Carries requests to witnesses and their answers back, one thread per witness: the slowest one
// holds up nobody. Behind an interface, so that tests answer without sockets. send(), replies:
// cs-ledger.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "ledger/witness_desk.h"
#include "protocol/base/bounded_queue.h"

namespace coshard::node {

class WitnessCarrier {
 public:
  virtual ~WitnessCarrier() = default;
  /// At most one request per witness is under way.
  virtual void send(ledger::WitnessRequest request) = 0;
  /// An answer that has come, waiting for it at most so long.
  virtual std::optional<ledger::WitnessReply> reply(std::chrono::milliseconds patience) = 0;
};

class WitnessPool final : public WitnessCarrier {
 public:
  /// `woken` is called, on a thread of the pool, whenever an answer has come.
  WitnessPool(const ledger::Policy& policy, std::function<void()> woken);
  ~WitnessPool() override;
  void send(ledger::WitnessRequest request) override;
  std::optional<ledger::WitnessReply> reply(std::chrono::milliseconds patience) override;

 private:
  struct Line {
    std::string url;
    BoundedQueue<std::string> bodies{1};
    std::thread thread;
  };
  void serve(std::size_t witness, Line& line);

  std::function<void()> woken_;
  std::vector<std::unique_ptr<Line>> lines_;
  std::mutex mutex_;  // guards the replies
  std::condition_variable came_;
  std::deque<ledger::WitnessReply> replies_;
};

}  // namespace coshard::node
