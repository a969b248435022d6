// Figures for machines: Prometheus text exposition (version 0.0.4), written whole at each snapshot.
// Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace coshard::node {

enum class MetricKind { kCounter, kGauge };

using MetricLabels = std::vector<std::pair<std::string_view, std::string>>;

class MetricsText {
 public:
  /// Starts a metric; its samples follow. `name` without the prefix "coshard_", unit last and
  /// spelt.
  MetricsText& metric(std::string_view name, MetricKind kind, std::string_view help);
  MetricsText& sample(double value, const MetricLabels& labels = {});
  std::string take() { return std::move(text_); }

 private:
  std::string name_;
  std::string text_;
};

}  // namespace coshard::node
