// Who may ask to join: checks the certificate that came with a JoinRequest against the channel that
// it came on. Whether the round has a seat is the machine's question. Pure; cs-net.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "crypto/identity.h"
#include "protocol/wire/envelope.h"

namespace coshard::node {

/// The certificate of who sent `opened`. kPermissionDenied: it does not verify, names another node,
/// or another CURVE key than the channel was encrypted with (`channel_curve`; nothing: no channel
/// of that node is known). kInvalidArgument: there is none.
Result<crypto::NodeCertificate> admit_certificate(const NodeId& from, const wire::Opened& opened,
                                                  const std::optional<crypto::CurveKey>& channel);

}  // namespace coshard::node
