// What a demo came to: summary.json (design 2.1) and what is said at the end. Home thread: main.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>

#include "ledger/verify.h"
#include "node/cli/demo_setup.h"
#include "node/cli/metrics_log.h"

namespace coshard::cli {

struct DemoSummary {
  double loss_first = 0, loss_last = 0;
  std::uint64_t steps = 0;  ///< committed
  std::uint64_t tokens = 0;
  double tokens_per_second = 0;
  double seconds = 0;
  std::uint64_t params = 0;
  std::uint32_t stages = 0, replicas = 0;
  double boundary_bytes_per_token = 0;
  std::uint64_t kills = 0, repaired_microbatches = 0;
  std::uint64_t joined = 0;  ///< nodes that became members on the way; for people only
  std::string origin, root;  ///< root: base64, as in the checkpoint
  std::uint64_t size = 0;
  std::map<std::string, std::uint64_t> ownership;  ///< units posted, by account in hexadecimal
};

/// Pure: from what the round left behind.
DemoSummary summarize(const DemoPlan& plan, const std::vector<StepMetrics>& metrics,
                      const ledger::VerifiedLedger& ledger, double boundary_bytes_per_token);

/// Nothing, or why the demo has failed although all processes ended well: a step is missing, or the
/// loss did not fall.
std::optional<std::string> shortcoming(const DemoPlan& plan, const DemoSummary& summary);

/// One line of JSON with exactly the members of design 2.1.
std::string to_json(const DemoSummary& summary);

/// Loss curve, figures, owners and commands to try next, as lines.
std::vector<std::string> render_summary(const DemoPlan& plan, const DemoSummary& summary,
                                        const std::vector<StepMetrics>& metrics, bool unicode);

}  // namespace coshard::cli
