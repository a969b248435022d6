// See http_client.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/cli/http_client.h"

#include "node/web_client.h"

namespace coshard::cli {

Result<HttpAnswer> http_get(const std::string& base, const std::string& path) {
  COSHARD_ASSIGN(node::WebAnswer answer,
                 node::web_get({base, path, kHttpTimeout, kHttpBodyBytesMax}));
  return HttpAnswer{answer.status, std::move(answer.body)};
}

Result<HttpAnswer> http_post(const std::string& base, const std::string& path,
                             const std::string& token, const std::string& body) {
  COSHARD_ASSIGN(node::WebAnswer answer,
                 node::web_post({base, path, kHttpTimeout, kHttpBodyBytesMax, token}, body));
  return HttpAnswer{answer.status, std::move(answer.body)};
}

}  // namespace coshard::cli
