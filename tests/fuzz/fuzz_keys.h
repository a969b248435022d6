// The fixed identities of the fuzzers: a corpus is only worth something while its keys stay.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "crypto/keys.h"
#include "protocol/base/ids.h"

namespace coshard::fuzz {

inline constexpr NetworkId kNetwork{{42}};
inline constexpr NodeId kReceiver{{9}};
inline crypto::KeyPair sender_keys() { return crypto::KeyPair::from_seed(Bytes(32, 1)).value(); }

}  // namespace coshard::fuzz
