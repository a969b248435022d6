// The three bindings of a newcomer: certificate, node id, channel.
// SPDX-License-Identifier: Apache-2.0
#include "node/coordinator/admission.h"

namespace coshard::node {

Result<crypto::NodeCertificate> admit_certificate(const NodeId& from, const wire::Opened& opened,
                                                  const std::optional<crypto::CurveKey>& channel) {
  if (opened.payloads.empty())
    return fail(ErrorCode::kInvalidArgument, "expected a certificate with the request, found none");
  COSHARD_ASSIGN(const crypto::NodeCertificate certificate,
                 crypto::NodeCertificate::decode(*opened.payloads.front().bytes));
  COSHARD_TRY(certificate.verify());
  if (certificate.node() != from)
    return fail(ErrorCode::kPermissionDenied, "the certificate is another node's");
  if (channel != certificate.curve_public)
    return fail(ErrorCode::kPermissionDenied,
                "the certificate names another CURVE key than the channel was encrypted with");
  return certificate;
}

}  // namespace coshard::node
