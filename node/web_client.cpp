// The client's half of cpp-httplib.
// SPDX-License-Identifier: Apache-2.0
#include "node/web_client.h"

#include <httplib.h>

#include "node/web_url.h"

namespace coshard::node {
namespace {

void set_limits(httplib::Client& client, const WebQuestion& question) {
  client.set_connection_timeout(question.timeout);
  client.set_read_timeout(question.timeout);
  client.set_write_timeout(question.timeout);
}

tl::unexpected<Error> unreachable(const std::string& base, httplib::Error error) {
  return fail(ErrorCode::kUnavailable, "no answer from " + base + " (" + httplib::to_string(error) +
                                           "): is the coordinator running there?");
}

tl::unexpected<Error> too_long(const WebQuestion& question) {
  return fail(ErrorCode::kResourceExhausted, question.base + question.path + ": expected at most " +
                                                 std::to_string(question.body_bytes_max) +
                                                 " bytes");
}

}  // namespace

Result<WebAnswer> web_get(const WebQuestion& question) {
  COSHARD_TRY(parse_web_url(question.base));
  httplib::Client client(question.base);
  set_limits(client, question);
  std::string body;
  const auto answer = client.Get(question.path.c_str(), [&](const char* bytes, std::size_t count) {
    body.append(bytes, count);
    return body.size() <= question.body_bytes_max;
  });
  if (body.size() > question.body_bytes_max) return too_long(question);
  if (!answer) return unreachable(question.base, answer.error());
  return WebAnswer{answer->status, std::move(body)};
}

Result<WebAnswer> web_post(const WebQuestion& question, const std::string& body) {
  COSHARD_TRY(parse_web_url(question.base));
  httplib::Client client(question.base);
  set_limits(client, question);
  httplib::Request request;
  request.method = "POST";
  request.path = question.path;
  request.body = body;
  request.set_header("Content-Type", "text/plain; charset=utf-8");
  if (!question.token.empty()) request.set_header("Authorization", "Bearer " + question.token);
  std::string said;
  request.content_receiver = [&](const char* bytes, std::size_t count, auto, auto) {
    said.append(bytes, count);
    return said.size() <= question.body_bytes_max;
  };
  const auto answer = client.send(request);
  if (said.size() > question.body_bytes_max) return too_long(question);
  if (!answer) return unreachable(question.base, answer.error());
  return WebAnswer{answer->status, std::move(said)};
}

}  // namespace coshard::node
