// SPDX-License-Identifier: Apache-2.0
#include "node/coordinator/witness_pool.h"

#include <pthread.h>

#include "node/web_client.h"
#include "node/web_url.h"
#include "protocol/base/check.h"
#include "protocol/base/limits.h"

namespace coshard::node {
namespace {

ledger::WitnessReply ask(std::size_t witness, const std::string& url, const std::string& body) {
  const auto parsed = parse_web_url(url);
  if (!parsed) return {witness, 0, parsed.error().message};
  const auto answer = web_post({parsed->base, parsed->path + "/add-checkpoint",
                                limits::kWitnessTimeout, limits::kNoteBytesMax},
                               body);
  if (!answer) return {witness, 0, answer.error().message};
  return {witness, answer->status, answer->body};
}

}  // namespace

WitnessPool::WitnessPool(const ledger::Policy& policy, std::function<void()> woken)
    : woken_(std::move(woken)) {
  for (const ledger::PolicyWitness& witness : policy.witnesses()) {
    lines_.push_back(std::make_unique<Line>());
    lines_.back()->url = witness.url;
  }
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    lines_[i]->thread = std::thread([this, i] { serve(i, *lines_[i]); });
  }
}

WitnessPool::~WitnessPool() {
  for (const auto& line : lines_) line->bodies.close();
  for (const auto& line : lines_) line->thread.join();
}

void WitnessPool::serve(std::size_t witness, Line& line) {
  pthread_setname_np(pthread_self(), "cs-witness");
  while (const auto body = line.bodies.pop()) {
    ledger::WitnessReply reply = ask(witness, line.url, *body);
    {
      const std::lock_guard lock(mutex_);
      replies_.push_back(std::move(reply));
    }
    came_.notify_all();
    woken_();
  }
}

void WitnessPool::send(ledger::WitnessRequest request) {
  const bool taken = lines_[request.witness]->bodies.try_push(std::move(request.body));
  COSHARD_CHECK(taken);  // the desk asks a witness again when it has answered
}

std::optional<ledger::WitnessReply> WitnessPool::reply(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  if (!came_.wait_for(lock, patience, [this] { return !replies_.empty(); })) return std::nullopt;
  ledger::WitnessReply reply = std::move(replies_.front());
  replies_.pop_front();
  return reply;
}

}  // namespace coshard::node
