// Signatures over payload bytes with their meaning in front, never over messages that somebody
// re-serialises. Any thread; pure. Bytes: reference ledger.md 4.2.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "crypto/domains.h"
#include "crypto/keys.h"
#include "protocol/base/ids.h"

namespace coshard::crypto {

/// "coshard/<name>/v1" || 0x00 || network (32) || u32be type || u64be length || payload.
/// The NUL keeps it apart from signed notes, which allow no control character but newline.
Bytes signature_preimage(const SignatureDomain& domain, const NetworkId& network, ByteView payload);

/// Signs `payload` for one meaning in one network. The payload is what is sent and stored: verify
/// the bytes as received, then parse.
Signature sign_payload(const KeyPair& key, const SignatureDomain& domain, const NetworkId& network,
                       ByteView payload);

/// True when `signature` is `key`'s over exactly these bytes, this meaning and this network.
bool verify_payload(const PublicKey& key, const SignatureDomain& domain, const NetworkId& network,
                    ByteView payload, const Signature& signature);

/// What is signed before a network exists (certificates): all zeros.
inline constexpr NetworkId kNoNetwork{};

/// SHA-256("coshard/network/v1" || 0x00 || bytes of the genesis entry).
NetworkId network_id(ByteView genesis_entry);

}  // namespace coshard::crypto
