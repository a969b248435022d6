// What a stranger may say. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "crypto/curve.h"
#include "protocol/base/ids.h"
#include "protocol/wire/envelope.h"

namespace coshard::transport {

/// True for the one frame that is taken from a peer who is not registered: a JoinRequest of his
/// own, with a valid certificate over his id and the very CURVE key that his connection is
/// encrypted with. The envelope's signature is still wire::open()'s to check.
bool is_request_to_join(const wire::Frame& frame, const NodeId& from, const crypto::CurveKey& key);

}  // namespace coshard::transport
