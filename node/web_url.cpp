// SPDX-License-Identifier: Apache-2.0
#include "node/web_url.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace coshard::node {
namespace {

constexpr std::array<std::string_view, 2> kSchemes{"http://", "https://"};

/// No space, no control character, no query: nothing that could end the line of a request.
bool is_plain(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    return c > ' ' && c < 0x7F && c != '?' && c != '#' && c != '\\' && c != '@';
  });
}

}  // namespace

bool is_web_url(std::string_view text) {
  return std::ranges::any_of(kSchemes, [&](auto scheme) { return text.starts_with(scheme); });
}

Result<HostPort> parse_host_port(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  HostPort parsed;
  if (colon != std::string_view::npos) {
    parsed.host = text.substr(0, colon);
    const char* end = text.data() + text.size();
    const auto [at, error] = std::from_chars(text.data() + colon + 1, end, parsed.port);
    if (error == std::errc() && at == end && parsed.port >= 0 && parsed.port <= 65535 &&
        !parsed.host.empty())
      return parsed;
  }
  return fail(ErrorCode::kInvalidArgument,
              "expected HOST:PORT, found \"" + std::string(text) + "\"");
}

Result<WebUrl> parse_web_url(std::string_view text) {
  for (const std::string_view scheme : kSchemes) {
    if (!text.starts_with(scheme) || !is_plain(text)) continue;
    const std::size_t slash = std::min(text.find('/', scheme.size()), text.size());
    if (slash == scheme.size()) break;
    WebUrl url{std::string(text.substr(0, slash)), std::string(text.substr(slash))};
    while (url.path.ends_with('/')) url.path.pop_back();
    return url;
  }
  return fail(
      ErrorCode::kInvalidArgument,
      "address: expected http://HOST:PORT or https://HOST, found \"" + std::string(text) + "\"");
}

}  // namespace coshard::node
