// See progress.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/progress.h"

#include <langinfo.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <clocale>
#include <cmath>
#include <cstdarg>
#include <cstring>

namespace coshard::node {
namespace {

constexpr std::size_t kBarWidth = 30;
constexpr std::size_t kNodeLinesMax = 24;
constexpr std::size_t kWidthMin = 20;

[[gnu::format(printf, 1, 2)]] std::string format(const char* pattern, ...) {
  std::array<char, 512> text{};
  va_list arguments;
  va_start(arguments, pattern);
  std::vsnprintf(text.data(), text.size(), pattern, arguments);
  va_end(arguments);
  return text.data();
}

/// Cut to `width` characters (not bytes), so that a line never wraps.
std::string fit(std::string line, std::size_t width) {
  std::size_t characters = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if ((line[i] & 0xC0) == 0x80) continue;
    if (characters++ == width) {
      line.resize(i);
      break;
    }
  }
  return line;
}

std::string bar(std::uint64_t done, std::uint64_t all, bool unicode) {
  const double share =
      all == 0 ? 0 : std::min(1.0, static_cast<double>(done) / static_cast<double>(all));
  const auto full = static_cast<std::size_t>(share * static_cast<double>(kBarWidth));
  std::string out = unicode ? "" : "[";
  for (std::size_t i = 0; i < kBarWidth; ++i)
    out += i < full ? (unicode ? "█" : "#") : (unicode ? "░" : ".");
  return out + (unicode ? "" : "]");
}

std::string rates(const RoundStatus& status) {
  std::string out = status.loss ? format("loss %.4f", *status.loss) : std::string("loss -");
  if (status.tokens_per_second) out += format("   %.0f tokens/s", *status.tokens_per_second);
  if (status.boundary_bytes_per_token)
    out += format("   %.0f B/token on the wire", *status.boundary_bytes_per_token);
  if (status.seconds_left && status.step < status.steps)
    out += "   " + render_seconds(*status.seconds_left) + " left";
  return out;
}

std::string node_line(const RoundStatus::Node& node) {
  std::string out = format("  stage %u replica %u  %.8s  %-8s", node.stage, node.replica,
                           node.node.c_str(), node.state.c_str());
  out += format("%-10s step %llu", node.activity.c_str(),
                static_cast<unsigned long long>(node.applied_step));
  if (node.tokens_per_second) out += format("  %.0f tokens/s", *node.tokens_per_second);
  if (node.state != "live" && node.silent_ms)
    out += format("  silent for %.1f s", static_cast<double>(*node.silent_ms) / 1000);
  return out;
}

std::string waiting_line(const RoundStatus& status) {
  if (!status.missing.empty()) {
    std::string out = "waiting for nodes:";
    for (const RoundStatus::Missing& missing : status.missing)
      out += format("%s %u more for stage %u", out.ends_with(':') ? "" : ",", missing.replicas,
                    missing.stage);
    return out;
  }
  return status.waiting_for.empty() ? "" : "waiting for " + status.waiting_for;
}

/// What must not go unseen between two lines.
std::string situation(const RoundStatus& status) {
  std::string out = status.state;
  for (const RoundStatus::Missing& missing : status.missing)
    out += format(" %u:%u", missing.stage, missing.replicas);
  for (const RoundStatus::Node& node : status.nodes) out += " " + node.node + node.state;
  return out;
}

}  // namespace

Terminal Terminal::of(std::FILE* stream) {
  std::setlocale(LC_CTYPE, "");
  Terminal terminal;
  const char* kind = std::getenv("TERM");
  terminal.interactive =
      isatty(fileno(stream)) == 1 && kind != nullptr && std::strcmp(kind, "dumb") != 0;
  terminal.unicode = std::strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
  winsize size{};
  if (ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    terminal.width = std::max<std::size_t>(size.ws_col, kWidthMin);
  return terminal;
}

std::string render_seconds(double seconds) {
  const auto whole = static_cast<long>(std::lround(std::clamp(seconds, 0.0, 1e9)));
  if (whole < 60) return format("%ld s", whole);
  if (whole < 3600) return format("%ld min %ld s", whole / 60, whole % 60);
  return format("%ld h %ld min", whole / 3600, whole / 60 % 60);
}

std::string render_count(std::uint64_t number) {
  const std::string digits = std::to_string(number);
  std::string out;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) out.push_back(',');
    out.push_back(digits[i]);
  }
  return out;
}

std::vector<std::string> render_block(const RoundStatus& status, const Terminal& terminal) {
  std::vector<std::string> lines;
  lines.push_back(status.model + ": " + status.state +
                  (status.reason.empty() ? "" : " (" + status.reason + ")"));
  lines.push_back("step " + std::to_string(status.step) + "/" + std::to_string(status.steps) + " " +
                  bar(status.step, status.steps, terminal.unicode));
  lines.push_back(rates(status));
  for (std::size_t i = 0; i < std::min(status.nodes.size(), kNodeLinesMax); ++i)
    lines.push_back(node_line(status.nodes[i]));
  if (status.nodes.size() > kNodeLinesMax)
    lines.push_back(format("  and %zu more nodes", status.nodes.size() - kNodeLinesMax));
  if (const std::string waiting = waiting_line(status); !waiting.empty()) lines.push_back(waiting);
  if (!status.waits.empty()) lines.push_back("waits for " + status.waits.front());
  for (std::string& line : lines) line = fit(std::move(line), terminal.width);
  return lines;
}

std::string render_line(const RoundStatus& status) {
  std::string out = "step " + std::to_string(status.step) + "/" + std::to_string(status.steps) +
                    "  " + status.state + "  " + rates(status);
  for (const RoundStatus::Node& node : status.nodes) {
    if (node.state != "live")
      out += format("  stage %u replica %u is %s", node.stage, node.replica, node.state.c_str());
  }
  if (const std::string waiting = waiting_line(status);
      !waiting.empty() && status.state == "waiting")
    out += "  " + waiting;
  return out;
}

void ProgressPrinter::show(const RoundStatus& status, std::chrono::steady_clock::time_point now) {
  if (!terminal_.interactive) {
    const std::string now_so = situation(status);
    const bool due = !line_shown_at_ || now - *line_shown_at_ >= kLineInterval;
    const bool moved = status.step != step_shown_;
    if (now_so == situation_shown_ && !(moved && due)) return;
    std::fprintf(stream_, "%s\n", render_line(status).c_str());
    std::fflush(stream_);
    line_shown_at_ = now;
    situation_shown_ = now_so;
    step_shown_ = status.step;
    return;
  }
  std::string out = lines_shown_ > 0 ? format("\x1b[%zuA\r\x1b[J", lines_shown_) : std::string();
  const std::vector<std::string> lines = render_block(status, terminal_);
  for (const std::string& line : lines) out += line + "\n";
  lines_shown_ = lines.size();
  std::fputs(out.c_str(), stream_);
  std::fflush(stream_);
}

void ProgressPrinter::leave() { lines_shown_ = 0; }

}  // namespace coshard::node
