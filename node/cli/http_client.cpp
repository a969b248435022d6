// See http_client.h. The one file of the command line that sees cpp-httplib.
// SPDX-License-Identifier: Apache-2.0
#include "node/cli/http_client.h"

#include <httplib.h>

namespace coshard::cli {
namespace {

Result<void> check_base(const std::string& base) {
  if (base.starts_with("http://")) return {};
  return fail(ErrorCode::kInvalidArgument,
              "address: expected http://HOST:PORT, found \"" + base + "\"");
}

void set_limits(httplib::Client& client) {
  client.set_connection_timeout(kHttpTimeout);
  client.set_read_timeout(kHttpTimeout);
  client.set_write_timeout(kHttpTimeout);
}

tl::unexpected<Error> unreachable(const std::string& base, httplib::Error error) {
  return fail(ErrorCode::kUnavailable, "no answer from " + base + " (" + httplib::to_string(error) +
                                           "): is the coordinator running there?");
}

}  // namespace

Result<HttpAnswer> http_get(const std::string& base, const std::string& path) {
  COSHARD_TRY(check_base(base));
  httplib::Client client(base);
  set_limits(client);
  std::string body;
  const auto answer = client.Get(path.c_str(), [&](const char* bytes, std::size_t count) {
    body.append(bytes, count);
    return body.size() <= kHttpBodyBytesMax;
  });
  if (body.size() > kHttpBodyBytesMax)
    return fail(ErrorCode::kResourceExhausted,
                base + path + ": expected at most " + std::to_string(kHttpBodyBytesMax) + " bytes");
  if (!answer) return unreachable(base, answer.error());
  return HttpAnswer{answer->status, std::move(body)};
}

Result<HttpAnswer> http_post(const std::string& base, const std::string& path,
                             const std::string& token, const std::string& body) {
  COSHARD_TRY(check_base(base));
  httplib::Client client(base);
  set_limits(client);
  const httplib::Headers headers{{"Authorization", "Bearer " + token}};
  const auto answer = client.Post(path.c_str(), headers, body, "text/plain");
  if (!answer) return unreachable(base, answer.error());
  return HttpAnswer{answer->status, answer->body};
}

}  // namespace coshard::cli
