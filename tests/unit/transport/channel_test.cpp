// Who may prove what on a channel: each attack of reference ledger.md 4.4 and B9, without a socket.
// SPDX-License-Identifier: Apache-2.0
#include "protocol/transport/channel.h"

#include <gtest/gtest.h>

namespace coshard::transport {
namespace {

using crypto::Identity;

constexpr ChannelNonce kClientNonce{1};
constexpr ChannelNonce kServerNonce{2};

class Channel : public ::testing::Test {
 protected:
  ChannelClient client(const Identity& self, const Identity& server) {
    return {self, server.node(), server.curve().public_key(), kClientNonce};
  }
  /// As the server sees it whose ZAP let `key` in.
  ChannelServer server(const Identity& key, std::optional<NodeId> registered) {
    return {server_, key.curve().public_key(), registered, kServerNonce};
  }

  const Identity client_ = Identity::generate();
  const Identity server_ = Identity::generate();
  const Identity mallory_ = Identity::generate();
};

TEST_F(Channel, HonestEndsProveThemselvesToEachOther) {
  for (const bool registered : {true, false}) {
    auto a = client(client_, server_);
    auto b = server(client_, registered ? std::optional(client_.node()) : std::nullopt);
    const auto answer = b.on(a.offer());
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_FALSE(answer->proved);
    const auto confirm = a.on(answer->reply);
    ASSERT_TRUE(confirm) << confirm.error().message;
    EXPECT_FALSE(confirm->proved);
    const auto ready = b.on(confirm->reply);
    ASSERT_TRUE(ready) << ready.error().message;
    EXPECT_TRUE(ready->proved);
    EXPECT_EQ(b.client(), client_.node());
    const auto done = a.on(ready->reply);
    ASSERT_TRUE(done);
    EXPECT_TRUE(done->proved);
    EXPECT_TRUE(done->reply.empty());
  }
}

// B9: mallory's connection is his own, but he claims to be the client, whose key he cannot sign
// with.
TEST_F(Channel, NobodyClaimsAnIdOverHisOwnCurveKey) {
  auto b = server(mallory_, mallory_.node());
  EXPECT_FALSE(b.on(client(client_, server_).offer()));
  EXPECT_EQ(b.refusal(), ChannelRefusal::kIdentity);
  // As a stranger he gets an answer, and no further.
  auto open_door = server(mallory_, std::nullopt);
  auto honest = client(client_, server_);
  const auto answer = open_door.on(honest.offer());
  ASSERT_TRUE(answer);
  auto elsewhere = client(mallory_, server_);
  const auto confirm = elsewhere.on(answer->reply);  // signs with his own key, over his curve key
  ASSERT_TRUE(confirm);
  EXPECT_FALSE(open_door.on(confirm->reply));
  EXPECT_EQ(open_door.refusal(), ChannelRefusal::kSignature);
}

// Unknown key share: the client's proof over its own channel, passed on by mallory on his.
TEST_F(Channel, AProofIsWorthNothingOnAnotherConnection) {
  auto honest = client(client_, server_);
  auto relayed = server(mallory_, std::nullopt);  // mallory's connection, the client's hellos
  const auto answer = relayed.on(honest.offer());
  ASSERT_TRUE(answer);
  const auto confirm = honest.on(answer->reply);
  // The server signed over mallory's curve key: the client notices at once.
  EXPECT_FALSE(confirm);
  EXPECT_EQ(confirm.error().code, ErrorCode::kPermissionDenied);
}

TEST_F(Channel, AClientWantsTheServerThatItDialled) {
  const Identity other = Identity::generate();
  auto a = client(client_, other);
  auto b = server(client_, client_.node());
  const auto answer = b.on(a.offer());
  ASSERT_TRUE(answer);
  const auto confirm = a.on(answer->reply);
  ASSERT_FALSE(confirm);
  EXPECT_EQ(confirm.error().code, ErrorCode::kPermissionDenied);
}

TEST_F(Channel, AnEarlierProofDoesNotOpenALaterChannel) {
  auto a = client(client_, server_);
  auto b = server(client_, client_.node());
  const Bytes offer = a.offer();
  const Bytes confirm = a.on(b.on(offer)->reply)->reply;
  ChannelServer later(server_, client_.curve().public_key(), client_.node(), ChannelNonce{3});
  ASSERT_TRUE(later.on(offer));
  EXPECT_FALSE(later.on(confirm));
}

TEST_F(Channel, AServersOwnSignatureIsNoClientsProof) {  // reflection
  auto b = server(client_, client_.node());
  const Bytes answer = b.on(client(client_, server_).offer())->reply;
  Bytes reflected = answer;
  reflected[5] = 3;  // confirm
  reflected.erase(reflected.begin() + 6, reflected.begin() + 6 + 64);
  EXPECT_FALSE(b.on(reflected));
  EXPECT_EQ(b.refusal(), ChannelRefusal::kSignature);
}

TEST_F(Channel, RefusesOurOwnIdAndUnsoundKeys) {
  auto own = server(mallory_, std::nullopt);
  EXPECT_FALSE(own.on(client(server_, server_).offer()));
  Bytes offer = client(client_, server_).offer();
  std::fill(offer.begin() + 6, offer.begin() + 38, std::uint8_t{0});  // a point of small order
  auto b = server(client_, std::nullopt);
  EXPECT_FALSE(b.on(offer));
  EXPECT_EQ(b.refusal(), ChannelRefusal::kIdentity);
}

TEST_F(Channel, RefusesWhatIsMalformedOrOutOfTurn) {
  const Bytes offer = client(client_, server_).offer();
  for (std::size_t length = 0; length < offer.size(); ++length) {
    auto b = server(client_, client_.node());
    EXPECT_FALSE(b.on(ByteView(offer).first(length)));
  }
  Bytes longer = offer;
  longer.push_back(0);
  auto b = server(client_, client_.node());
  EXPECT_FALSE(b.on(longer));
  EXPECT_FALSE(b.on(Bytes(1000)));
  ASSERT_TRUE(b.on(offer));
  EXPECT_FALSE(b.on(offer));  // twice
  Bytes foreign = offer;
  foreign[4] = 2;
  auto c = server(client_, client_.node());
  EXPECT_FALSE(c.on(foreign));
  EXPECT_EQ(c.refusal(), ChannelRefusal::kVersion);
  auto a = client(client_, server_);
  EXPECT_FALSE(a.on(offer));
}

TEST_F(Channel, ARefusalIsUnderstood) {
  auto a = client(client_, server_);
  const auto refused = a.on(encode_refusal(ChannelRefusal::kNotAdmitted));
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("not admitted"), std::string::npos);
}

}  // namespace
}  // namespace coshard::transport
