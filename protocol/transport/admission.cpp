// SPDX-License-Identifier: Apache-2.0
#include "protocol/transport/admission.h"

#include "crypto/identity.h"

namespace coshard::transport {

bool is_request_to_join(const wire::Frame& frame, const NodeId& from, const crypto::CurveKey& key) {
  const auto peeked = wire::peek(frame);
  if (!peeked || peeked->kind != wire::MessageKind::kJoinRequest) return false;
  if (peeked->header.sender != from || frame.payloads.empty()) return false;
  const auto certificate = crypto::NodeCertificate::decode(*frame.payloads[0]);
  return certificate && certificate->node() == from && certificate->curve_public == key &&
         certificate->verify().has_value();
}

}  // namespace coshard::transport
