// SPDX-License-Identifier: Apache-2.0
#include "crypto/hash.h"

#include <gtest/gtest.h>
#include <sodium.h>

#include "crypto/random.h"

namespace coshard::crypto {
namespace {

TEST(Hash, KnownAnswers) {
  EXPECT_EQ(to_hex(sha256({})), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(to_hex(sha256(as_bytes("abc"))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Hash, PiecesEqualTheWholeAndAnotherLibrary) {
  const Bytes all = random_bytes(1000);
  for (std::size_t cut = 0; cut <= all.size(); cut += 37) {
    Sha256 hasher;
    hasher.update(ByteView(all).first(cut)).update(ByteView(all).subspan(cut));
    Hash other;
    crypto_hash_sha256(other.data(), all.data(), all.size());
    EXPECT_EQ(hasher.finish(), other);
  }
}

TEST(Hash, FinishStartsOver) {
  Sha256 hasher;
  hasher.update(as_bytes("something")).finish();
  EXPECT_EQ(hasher.update(as_bytes("abc")).finish(), sha256(as_bytes("abc")));
}

TEST(Hash, DomainIsPartOfTheHash) {
  const std::string_view joined{"coshard/a/v1\0payload", 20};
  EXPECT_EQ(domain_hash("coshard/a/v1", {as_bytes("pay"), as_bytes("load")}),
            sha256(as_bytes(joined)));
  EXPECT_NE(domain_hash("coshard/a/v1", {as_bytes("payload")}),
            domain_hash("coshard/b/v1", {as_bytes("payload")}));
}

}  // namespace
}  // namespace coshard::crypto
