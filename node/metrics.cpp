// Prometheus text.
// SPDX-License-Identifier: Apache-2.0
#include "node/metrics.h"

#include <array>
#include <charconv>

namespace coshard::node {

namespace {

void append_escaped(std::string& out, std::string_view value) {
  for (const char c : value) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
}

}  // namespace

MetricsText& MetricsText::metric(std::string_view name, MetricKind kind, std::string_view help) {
  name_ = "coshard_" + std::string(name);
  text_ += "# HELP " + name_ + " ";
  text_ += help;
  text_ += "\n# TYPE " + name_ + (kind == MetricKind::kCounter ? " counter\n" : " gauge\n");
  return *this;
}

MetricsText& MetricsText::sample(double value, const MetricLabels& labels) {
  text_ += name_;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    text_ += i == 0 ? '{' : ',';
    text_ += labels[i].first;
    text_ += "=\"";
    append_escaped(text_, labels[i].second);
    text_ += '"';
  }
  if (!labels.empty()) text_ += '}';
  std::array<char, 32> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  text_ += ' ';
  text_.append(digits.data(), end.ptr);
  text_ += '\n';
  return *this;
}

}  // namespace coshard::node
