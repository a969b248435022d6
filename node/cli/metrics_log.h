// metrics.jsonl, the coordinator's line per committed step, read back. Pure but for
// read_metrics(); any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include "node/loss_curve.h"
#include "protocol/base/error.h"

namespace coshard::cli {

struct StepMetrics {
  std::uint64_t step = 0;
  double loss = 0;
  std::uint64_t tokens = 0;
  double seconds = 0;
  double grad_norm = 0;
  double tokens_per_second = 0;
};

/// Ascending steps; of a step that was done again after a resume, the last line counts. A torn last
/// line is left out. kCorruption names the line that is no metrics.
Result<std::vector<StepMetrics>> parse_metrics(std::string_view text);
/// kNotFound when there is no file.
Result<std::vector<StepMetrics>> read_metrics(const std::filesystem::path& file);

std::vector<node::LossPoint> losses(const std::vector<StepMetrics>& metrics);

}  // namespace coshard::cli
