// SPDX-License-Identifier: Apache-2.0
#include "crypto/signed_payload.h"

#include <gtest/gtest.h>

#include "crypto/hash.h"
#include "crypto/random.h"

namespace coshard::crypto {
namespace {

TEST(SignedPayload, PreimageIsTheDocumentedBytes) {
  const NetworkId network{sha256(as_bytes("network"))};
  const Bytes preimage = signature_preimage({"entry", 6}, network, as_bytes("xyz"));
  Bytes expected = to_bytes(as_bytes("coshard/entry/v1"));
  expected.push_back(0);
  append(expected, network.view());
  append(expected, Bytes{0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 3});
  append(expected, as_bytes("xyz"));
  EXPECT_EQ(preimage, expected);
}

// B1 and B2: a signature has one meaning in one network.
TEST(SignedPayload, EveryDomainAndNetworkIsItsOwn) {
  const KeyPair key = KeyPair::generate();
  const NetworkId network{random_array<32>()};
  const NetworkId other{random_array<32>()};
  const Bytes payload = random_bytes(100);
  for (const SignatureDomain& signed_as : domains::kAll) {
    const Signature signature = sign_payload(key, signed_as, network, payload);
    for (const SignatureDomain& shown_as : domains::kAll) {
      EXPECT_EQ(verify_payload(key.public_key(), shown_as, network, payload, signature),
                signed_as.type == shown_as.type);
    }
    EXPECT_FALSE(verify_payload(key.public_key(), signed_as, other, payload, signature));
    // Neither the name nor the number alone decides.
    EXPECT_FALSE(
        verify_payload(key.public_key(), {signed_as.name, 99}, network, payload, signature));
    EXPECT_FALSE(
        verify_payload(key.public_key(), {"other", signed_as.type}, network, payload, signature));
  }
}

TEST(SignedPayload, LongerOrShorterPayloadIsAnother) {
  const KeyPair key = KeyPair::generate();
  const Bytes payload = random_bytes(20);
  const Signature signature = sign_payload(key, domains::kEnvelope, kNoNetwork, payload);
  EXPECT_FALSE(verify_payload(key.public_key(), domains::kEnvelope, kNoNetwork,
                              ByteView(payload).first(19), signature));
}

TEST(SignedPayload, NetworkIdIsAHashOfTheGenesisEntry) {
  EXPECT_EQ(network_id(as_bytes("g")).bytes, domain_hash("coshard/network/v1", {as_bytes("g")}));
}

}  // namespace
}  // namespace coshard::crypto
