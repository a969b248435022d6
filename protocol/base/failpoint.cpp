// Counting passages. Part of test builds only.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/base/failpoint.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <string>

#include "protocol/base/check.h"

namespace coshard {

namespace {

std::vector<FailpointOrder> armed;
std::array<std::atomic<std::uint64_t>, kFailpoints.size()> passages;

constexpr std::array<std::pair<std::string_view, int>, 3> kVerbs{
    {{"kill", SIGKILL}, {"stop", SIGSTOP}, {"term", SIGTERM}}};

tl::unexpected<Error> refuse(std::string_view found) {
  std::string names;
  for (const std::string_view name : kFailpoints) names += " " + std::string(name);
  return fail(ErrorCode::kInvalidArgument,
              "COSHARD_FAILPOINTS: expected NAME=VERB@N or NAME=VERB@N:FILE, VERB one of kill, "
              "stop, term, N from 1 on, FILE with a process's id, with commas between several, "
              "found \"" +
                  std::string(found) + "\"; the names are:" + names);
}

Result<FailpointOrder> parse_order(std::string_view text) {
  const std::size_t equals = text.find('='), at = text.find('@');
  if (equals == text.npos || at == text.npos || at < equals) return refuse(text);
  const auto name = std::find(kFailpoints.begin(), kFailpoints.end(), text.substr(0, equals));
  const std::string_view verb = text.substr(equals + 1, at - equals - 1);
  FailpointOrder order;
  order.failpoint = static_cast<std::size_t>(name - kFailpoints.begin());
  const auto known = std::find_if(kVerbs.begin(), kVerbs.end(),
                                  [&](const auto& entry) { return entry.first == verb; });
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data() + at + 1, end, order.passage);
  const bool counted = error == std::errc() && order.passage > 0;
  if (name == kFailpoints.end() || known == kVerbs.end() || !counted) return refuse(text);
  order.signal = known->second;
  if (stopped == end) return order;
  order.pid_file.assign(stopped + 1, end);
  if (*stopped != ':' || order.pid_file.empty()) return refuse(text);
  return order;
}

/// Of several processes that may strike another one, the first to come by takes its file away.
void strike(const FailpointOrder& order) {
  pid_t struck = ::getpid();
  if (!order.pid_file.empty()) {
    const std::string taken = order.pid_file + ".taken";
    if (std::rename(order.pid_file.c_str(), taken.c_str()) != 0) {
      COSHARD_CHECK(::access(taken.c_str(), F_OK) == 0);  // or there never was one
      return;
    }
    std::ifstream file(taken);
    COSHARD_CHECK(file >> struck && struck > 0);
  }
  COSHARD_CHECK(::kill(struck, order.signal) == 0);
}

}  // namespace

Result<std::vector<FailpointOrder>> parse_failpoints(std::string_view text) {
  std::vector<FailpointOrder> orders;
  for (;;) {
    const std::size_t comma = text.find(',');
    COSHARD_ASSIGN(const FailpointOrder order, parse_order(text.substr(0, comma)));
    orders.push_back(order);
    if (comma == text.npos) return orders;
    text.remove_prefix(comma + 1);
  }
}

Result<void> arm_failpoints(const char* text) {
  if (text == nullptr) return {};
  COSHARD_ASSIGN(armed, parse_failpoints(text));
  return {};
}

namespace internal {

void pass_failpoint(std::size_t failpoint) {
  const std::uint64_t passage = passages[failpoint].fetch_add(1, std::memory_order_relaxed) + 1;
  for (const FailpointOrder& order : armed)
    if (order.failpoint == failpoint && order.passage == passage) strike(order);
}

}  // namespace internal
}  // namespace coshard
