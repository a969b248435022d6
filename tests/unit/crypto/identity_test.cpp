// SPDX-License-Identifier: Apache-2.0
#include "crypto/identity.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "crypto/hash.h"
#include "crypto/random.h"
#include "crypto/signed_payload.h"

namespace coshard::crypto {
namespace {

TEST(Identity, CertificateTiesThreeIndependentKeys) {
  const Identity identity = Identity::generate(7);
  const NodeCertificate& certificate = identity.certificate();
  EXPECT_TRUE(certificate.verify().has_value());
  EXPECT_EQ(certificate.serial, 7u);
  EXPECT_NE(certificate.root_public, certificate.operating_public);
  EXPECT_NE(certificate.curve_public, certificate.operating_public);
  EXPECT_EQ(identity.node().bytes, certificate.operating_public);
  EXPECT_EQ(identity.account().bytes, domain_hash("coshard/account/v1", {certificate.root_public}));
}

TEST(Identity, CertificateBytesAreFixed) {
  const NodeCertificate certificate = Identity::generate().certificate();
  const Bytes bytes = certificate.encode();
  ASSERT_EQ(bytes.size(), NodeCertificate::kEncodedBytes);
  EXPECT_EQ(*NodeCertificate::decode(bytes), certificate);
  EXPECT_FALSE(NodeCertificate::decode(ByteView(bytes).first(bytes.size() - 1)).has_value());
  Bytes longer = bytes;
  longer.push_back(0);
  EXPECT_FALSE(NodeCertificate::decode(longer).has_value());
}

TEST(Identity, EveryFlippedBitOfACertificateIsNoticed) {
  const Bytes bytes = Identity::generate().certificate().encode();
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    Bytes changed = bytes;
    changed[i] ^= 0x10;
    EXPECT_FALSE(NodeCertificate::decode(changed)->verify().has_value()) << "byte " << i;
  }
}

// B9's first half: nobody certifies an operating key that he does not hold.
TEST(Identity, AnothersOperatingKeyCannotBeCertified) {
  const Identity thief = Identity::generate();
  const Identity victim = Identity::generate();
  NodeCertificate forged = thief.certificate();
  forged.operating_public = victim.certificate().operating_public;
  Bytes payload = forged.encode();
  payload.resize(104);
  forged.root_signature = sign_payload(thief.root(), domains::kCertificate, kNoNetwork, payload);
  forged.operating_signature =
      sign_payload(thief.operating(), domains::kCertificate, kNoNetwork, payload);
  const auto verified = forged.verify();
  ASSERT_FALSE(verified.has_value());
  EXPECT_EQ(verified.error().code, ErrorCode::kPermissionDenied);
}

// B5: a key of small order is refused although some signature under it verifies.
TEST(Identity, WeakKeyIsRefused) {
  NodeCertificate certificate = Identity::generate().certificate();
  certificate.operating_public = PublicKey{};
  certificate.operating_public[0] = 1;
  EXPECT_FALSE(certificate.verify().has_value());
}

TEST(Identity, SecretReadsBackAsTheSameIdentity) {
  const Identity identity = Identity::generate(3);
  const SecretBytes secret = identity.encode_secret();
  EXPECT_EQ(Identity::decode_secret(secret.view())->certificate(), identity.certificate());
  EXPECT_FALSE(Identity::decode_secret(secret.view().first(104)).has_value());
  EXPECT_FALSE(Identity::decode_secret({}).has_value());
}

TEST(Identity, ABoxHasFreshKeysOfTheSameAccountAndNoRoot) {
  const Identity owner = Identity::generate(3);
  const Identity box = owner.with_fresh_keys().without_root();
  EXPECT_TRUE(owner.has_root());
  EXPECT_FALSE(box.has_root());
  EXPECT_EQ(box.account(), owner.account());
  EXPECT_NE(box.node(), owner.node());
  EXPECT_NE(box.certificate().curve_public, owner.certificate().curve_public);
  EXPECT_TRUE(box.certificate().verify().has_value());
  const SecretBytes secret = box.encode_secret();
  const ByteView bytes = secret.view();
  const ByteView root = owner.root().seed();
  EXPECT_EQ(std::search(bytes.begin(), bytes.end(), root.begin(), root.end()), bytes.end());
  const auto again = Identity::decode_secret(bytes);
  ASSERT_TRUE(again);
  EXPECT_FALSE(again->has_root());
  EXPECT_EQ(again->certificate(), box.certificate());
  EXPECT_EQ(to_hex(again->operating().seed()), to_hex(box.operating().seed()));
  EXPECT_EQ(to_hex(again->curve().secret()), to_hex(box.curve().secret()));
}

TEST(Identity, ABoxWithAnyByteChangedIsRefused) {
  const Identity box = Identity::generate().without_root();
  const SecretBytes secret = box.encode_secret();
  const Bytes good(secret.view().begin(), secret.view().end());
  EXPECT_FALSE(Identity::decode_secret(ByteView(good).first(good.size() - 1)).has_value());
  for (std::size_t at = 0; at < good.size(); ++at) {
    Bytes changed = good;
    changed[at] ^= 0x10;
    const auto read = Identity::decode_secret(changed);
    EXPECT_FALSE(read.has_value()) << at;
  }
}

// B9's second half: a signature of one side, key or nonce is none of another's.
TEST(Channel, BindsBothKeysBothNoncesAndTheSide) {
  const Identity client = Identity::generate();
  const Identity server = Identity::generate();
  const NetworkId network{random_array<32>()};
  ChannelBinding binding{client.curve().public_key(), server.curve().public_key(),
                         random_array<32>(), random_array<32>()};
  using Side = ChannelBinding::Side;
  const Signature signature = sign_channel(client.operating(), network, binding, Side::kClient);
  const PublicKey& key = client.certificate().operating_public;
  EXPECT_TRUE(verify_channel(key, network, binding, Side::kClient, signature));
  EXPECT_FALSE(verify_channel(key, network, binding, Side::kServer, signature));
  EXPECT_FALSE(verify_channel(server.certificate().operating_public, network, binding,
                              Side::kClient, signature));
  ChannelBinding other = binding;
  other.client_curve = Identity::generate().curve().public_key();
  EXPECT_FALSE(verify_channel(key, network, other, Side::kClient, signature));
  other = binding;
  other.server_nonce[0] ^= 1;
  EXPECT_FALSE(verify_channel(key, network, other, Side::kClient, signature));
}

}  // namespace
}  // namespace coshard::crypto
