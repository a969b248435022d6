// What a round must come to: the same model trained by one engine in this process, microbatch after
// microbatch. One thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/round_fixture.h"

namespace coshard::test {

struct ReferenceRun {
  std::vector<MetricsLine> lines;
  std::vector<std::string> parameters;  ///< fp32 bytes, in global order
};

/// Trains all steps of `round` on the data of `manifest`.
ReferenceRun reference_run(const node::RoundFile& round, const Path& manifest);

/// The parameters in the checkpoint of `step`, in global order over all stages.
std::vector<std::string> checkpoint_parameters(const node::RoundFile& round,
                                               const std::vector<Path>& checkpoint_folders,
                                               std::uint64_t step);

}  // namespace coshard::test
