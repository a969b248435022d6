// A look at Protobuf bytes before Protobuf gets them: a parser allocates for what it finds, so the
// counting is done first, without allocating (reference ledger.md T14: 49 bytes of memory per byte
// received). Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "protocol/base/bytes.h"
#include "protocol/base/error.h"

namespace google::protobuf {
class Descriptor;
}

namespace coshard::wire {

/// Checks that `bytes` are a message of type `type` in the one form that we write: known fields
/// with their own wire types, repeated numbers packed, each singular field at most once, minimal
/// varints, nothing cut short; at most limits::kBodyItemsMax nested messages and strings, nested at
/// most limits::kBodyDepthMax deep. kInvalidArgument otherwise.
Result<void> prescan(const google::protobuf::Descriptor& type, ByteView bytes);

}  // namespace coshard::wire
