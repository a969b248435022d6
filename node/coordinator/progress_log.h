// What people and tools see of a round: metrics.jsonl (one line per committed step), the status
// document and the Prometheus text. Fed by cs-net; writes one append-only file.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "node/coordinator/ledger_thread.h"
#include "node/courier.h"
#include "node/round_file.h"
#include "protocol/round/coordinator.h"

namespace coshard::node {

/// Everything a snapshot is made of.
struct ProgressView {
  const round::CoordinatorStatus& status;
  const round::CoordinatorCounters& machine;
  const Courier& courier;
  const std::map<NodeId, std::string>& accounts;  ///< node -> account id, hexadecimal
  std::optional<round::RoundFinished> finished;
  const std::string& resume_command;
};

class ProgressLog {
 public:
  /// Opens DIR/metrics.jsonl for appending. kUnavailable naming the file.
  static Result<std::unique_ptr<ProgressLog>> open(const RoundFile& round,
                                                   const std::filesystem::path& directory);
  ~ProgressLog();
  ProgressLog(const ProgressLog&) = delete;
  ProgressLog& operator=(const ProgressLog&) = delete;

  /// A line for the last step of the journal, where a crash came between the two; what a crash tore
  /// off in the middle of a line is cut. Call before the first committed().
  Result<void> catch_up(const std::vector<round::JournalRecord>& history);
  /// kUnavailable when the line could not be written.
  Result<void> committed(const round::StepRecord& record);
  void ledger(const LedgerView& view) { ledger_ = view; }

  /// The document of GET /status; remembers since when the same thing is waited for.
  std::string status_json(const ProgressView& view, TimePoint now);
  std::string metrics_text(const ProgressView& view) const;

 private:
  ProgressLog(const RoundFile& round, std::filesystem::path file, std::FILE* stream)
      : round_(round), file_(std::move(file)), stream_(stream) {}

  const RoundFile round_;
  const std::filesystem::path file_;
  std::FILE* stream_;
  std::optional<round::StepRecord> last_;
  double seconds_total_ = 0;       ///< in steps committed by this process
  std::uint64_t steps_total_ = 0;  ///< committed by this process
  std::uint64_t tokens_total_ = 0;
  std::string waiting_for_;
  std::optional<TimePoint> waiting_since_;
  LedgerView ledger_;
};

}  // namespace coshard::node
