// Ed25519, X25519 and XChaCha20-Poly1305 against public vectors, and the exact set of edge cases
// that this build accepts (reference ledger.md 4.1): another library release must not change it
// silently.
// SPDX-License-Identifier: Apache-2.0
#include "crypto/keys.h"

#include <gtest/gtest.h>
#include <sodium.h>

#include <set>

#include "crypto/aead.h"
#include "crypto/curve.h"
#include "tests/support/shared_vectors.h"

namespace coshard::crypto {
namespace {

using test::read_json;
using test::shared_vectors;

Bytes hex(const nlohmann::json& text) { return *from_hex(text.get<std::string>()); }

template <std::size_t N>
std::array<std::uint8_t, N> hex_array(const nlohmann::json& text) {
  return *to_array<N>(hex(text));
}

TEST(Keys, Rfc8032) {
  // Section 7.1, tests 1 and 3.
  const auto first = KeyPair::from_seed(
      *from_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"));
  EXPECT_EQ(to_hex(first->public_key()),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
  EXPECT_EQ(
      to_hex(first->sign({})),
      "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e3970"
      "1cf9b46bd25bf5f0595bbe24655141438e7a100b");
  const auto third = KeyPair::from_seed(
      *from_hex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7"));
  EXPECT_EQ(
      to_hex(third->sign(*from_hex("af82"))),
      "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760"
      "984dc6594a7c15e9716ed28dc027beceea1ec40a");
}

TEST(Keys, SeedOfAnotherSizeIsRefused) {
  EXPECT_EQ(KeyPair::from_seed(Bytes(31)).error().code, ErrorCode::kInvalidArgument);
}

TEST(Keys, SignedBytesVerifyAndOthersDoNot) {
  const KeyPair key = KeyPair::generate();
  Bytes message = to_bytes(as_bytes("one microbatch"));
  const Signature signature = key.sign(message);
  EXPECT_TRUE(verify(key.public_key(), message, signature));
  message[3] ^= 1;
  EXPECT_FALSE(verify(key.public_key(), message, signature));
  message[3] ^= 1;
  // B4: the same signature with S + L is another encoding of the same value.
  Signature malleated = signature;
  constexpr std::uint8_t kOrder[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,
                                       0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                                       0,    0,    0,    0,    0,    0,    0,    0,
                                       0,    0,    0,    0,    0,    0,    0,    0x10};
  unsigned carry = 0;
  for (std::size_t i = 0; i < 32; ++i) {
    carry += malleated[32 + i] + kOrder[i];
    malleated[32 + i] = static_cast<std::uint8_t>(carry);
    carry >>= 8;
  }
  EXPECT_FALSE(verify(key.public_key(), message, malleated));
}

TEST(Keys, WycheproofEd25519) {
  const auto folder = shared_vectors("wycheproof");
  if (!folder) GTEST_SKIP() << "no public vectors: set COSHARD_SHARED_DIR";
  int seen = 0;
  const auto vectors = read_json(*folder / "ed25519_test.json");
  for (const auto& group : vectors["testGroups"]) {
    const auto key = hex_array<32>(group["publicKey"]["pk"]);
    for (const auto& test : group["tests"]) {
      const auto signature = to_array<64>(hex(test["sig"]));
      const bool valid = signature && verify(key, hex(test["msg"]), *signature);
      EXPECT_EQ(valid, test["result"] == "valid") << test["tcId"] << " " << test["comment"];
      ++seen;
    }
  }
  EXPECT_EQ(seen, 151);
}

TEST(Keys, CctvEdgeCases) {
  const auto folder = shared_vectors("cctv");
  if (!folder) GTEST_SKIP() << "no public vectors: set COSHARD_SHARED_DIR";
  std::set<int> accepted;
  std::set<int> accepted_with_valid_key;
  const auto vectors = read_json(*folder / "ed25519vectors.json");
  EXPECT_EQ(vectors.size(), 914u);
  for (const auto& test : vectors) {
    const auto key = hex_array<32>(test["key"]);
    const std::string message = test["msg"];
    if (!verify(key, as_bytes(message), hex_array<64>(test["sig"]))) continue;
    accepted.insert(test["number"].get<int>());
    if (is_valid_public_key(key)) accepted_with_valid_key.insert(test["number"].get<int>());
  }
  EXPECT_EQ(accepted.size(), 43u) << "this libsodium accepts other signatures than its releases";
  EXPECT_EQ(accepted_with_valid_key.size(), 1u);
}

TEST(Keys, WeakKeysAreNotValid) {
  PublicKey identity{};
  identity[0] = 1;  // the neutral element
  EXPECT_FALSE(is_valid_public_key(identity));
  EXPECT_FALSE(is_valid_public_key(PublicKey{}));  // order 4
  PublicKey not_canonical;
  not_canonical.fill(0xff);
  EXPECT_FALSE(is_valid_public_key(not_canonical));
  EXPECT_TRUE(is_valid_public_key(KeyPair::generate().public_key()));
}

TEST(Aead, WycheproofXChaCha20Poly1305) {
  const auto folder = shared_vectors("wycheproof");
  if (!folder) GTEST_SKIP() << "no public vectors: set COSHARD_SHARED_DIR";
  int seen = 0;
  const auto vectors = read_json(*folder / "xchacha20_poly1305_test.json");
  for (const auto& group : vectors["testGroups"]) {
    for (const auto& test : group["tests"]) {
      ++seen;
      const auto nonce = to_array<24>(hex(test["iv"]));
      const bool valid = test["result"] == "valid";
      if (!nonce) {  // another nonce size has no meaning in this interface
        EXPECT_FALSE(valid);
        continue;
      }
      const Bytes key = hex(test["key"]);
      const Bytes associated = hex(test["aad"]);
      Bytes sealed = hex(test["ct"]);
      append(sealed, hex(test["tag"]));
      const auto opened = aead_open(key, *nonce, associated, sealed);
      ASSERT_EQ(opened.has_value(), valid) << test["tcId"] << " " << test["comment"];
      if (!valid) continue;
      EXPECT_EQ(to_bytes(opened->view()), hex(test["msg"])) << test["tcId"];
      EXPECT_EQ(aead_seal(key, *nonce, associated, hex(test["msg"])), sealed) << test["tcId"];
    }
  }
  EXPECT_EQ(seen, 315);
}

// CURVE's key agreement is libzmq's, by the same library: this pins that library.
TEST(Curve, WycheproofX25519) {
  const auto folder = shared_vectors("wycheproof");
  if (!folder) GTEST_SKIP() << "no public vectors: set COSHARD_SHARED_DIR";
  int seen = 0;
  const auto vectors = read_json(*folder / "x25519_test.json");
  for (const auto& group : vectors["testGroups"]) {
    for (const auto& test : group["tests"]) {
      ++seen;
      const Bytes secret = hex(test["private"]);
      const Bytes other = hex(test["public"]);
      Bytes shared(32);
      const int result = crypto_scalarmult(shared.data(), secret.data(), other.data());
      const Bytes expected = hex(test["shared"]);
      // The library refuses an all-zero result; every other one must be right.
      if (result != 0) {
        EXPECT_EQ(expected, Bytes(32)) << test["tcId"] << " " << test["comment"];
      } else {
        EXPECT_EQ(shared, expected) << test["tcId"] << " " << test["comment"];
      }
    }
  }
  EXPECT_EQ(seen, 518);
}

TEST(Curve, PublicHalfFollowsFromTheSecret) {
  const CurveKeyPair pair = CurveKeyPair::generate();
  const auto again = CurveKeyPair::from_secret(pair.secret());
  EXPECT_EQ(again->public_key(), pair.public_key());
  EXPECT_NE(CurveKeyPair::generate().public_key(), pair.public_key());
  EXPECT_FALSE(CurveKeyPair::from_secret(Bytes(33)).has_value());
}

TEST(SecretBytes, MovesAndWipes) {
  SecretBytes first = SecretBytes::copy_of(as_bytes("secret"));
  SecretBytes second = std::move(first);
  EXPECT_EQ(first.size(), 0u);
  EXPECT_EQ(as_text(second.view()), "secret");
  wipe(second.writable());
  EXPECT_EQ(to_bytes(second.view()), Bytes(6));
}

}  // namespace
}  // namespace coshard::crypto
