// SPDX-License-Identifier: Apache-2.0
#include "crypto/signed_payload.h"

#include "crypto/hash.h"

namespace coshard::crypto {

Bytes signature_preimage(const SignatureDomain& domain, const NetworkId& network,
                         ByteView payload) {
  static constexpr std::string_view kPrefix = "coshard/";
  static constexpr std::string_view kSuffix{"/v1\0", 4};
  Bytes out;
  out.reserve(kPrefix.size() + domain.name.size() + kSuffix.size() + 32 + 12 + payload.size());
  append(out, as_bytes(kPrefix));
  append(out, as_bytes(domain.name));
  append(out, as_bytes(kSuffix));
  append(out, network.view());
  put_be<std::uint32_t>(out, domain.type);
  put_be<std::uint64_t>(out, payload.size());
  append(out, payload);
  return out;
}

Signature sign_payload(const KeyPair& key, const SignatureDomain& domain, const NetworkId& network,
                       ByteView payload) {
  return key.sign(signature_preimage(domain, network, payload));
}

bool verify_payload(const PublicKey& key, const SignatureDomain& domain, const NetworkId& network,
                    ByteView payload, const Signature& signature) {
  return verify(key, signature_preimage(domain, network, payload), signature);
}

NetworkId network_id(ByteView genesis_entry) {
  return NetworkId{domain_hash("coshard/network/v1", {genesis_entry})};
}

}  // namespace coshard::crypto
