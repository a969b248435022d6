// Writes the corpus seeds of codec_fuzz, envelope_fuzz and hello_fuzz: one honest input of each
// kind. Run it again when a message changes: make_wire_seeds tests/fuzz/corpus
// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <fstream>

#include "crypto/identity.h"
#include "protocol/transport/channel.h"
#include "protocol/wire/envelope.h"
#include "tests/fuzz/fuzz_keys.h"
#include "tests/support/random_message.h"

namespace {

using namespace coshard;

void write(const std::filesystem::path& folder, const std::string& name, const Bytes& bytes) {
  std::filesystem::create_directories(folder);
  std::ofstream(folder / name, std::ios::binary) << as_text(bytes);
}

Bytes hellos(std::uint8_t flags, std::initializer_list<Bytes> all) {
  Bytes bytes{flags};
  for (const Bytes& hello : all) {
    bytes.push_back(static_cast<std::uint8_t>(hello.size()));
    append(bytes, hello);
  }
  return bytes;
}

void write_wire(const std::filesystem::path& corpus) {
  const crypto::KeyPair keys = fuzz::sender_keys();
  testing::RandomMessage random(2);
  for (std::size_t index = 0; index < testing::RandomMessage::kAlternatives; ++index) {
    const Message message = random.of(index);
    const std::string name(wire::name_of(wire::kind_of(message)));
    const Bytes body = wire::encode(message).value();
    Bytes input{static_cast<std::uint8_t>(index)};
    append(input, body);
    write(corpus / "codec", name, input);

    const wire::PayloadRule rule = wire::payload_rule(wire::kind_of(message));
    if (rule.count_min > 1) continue;  // the harness carries one payload
    wire::EnvelopeHeader header{fuzz::kNetwork,  NodeId{keys.public_key()},
                                fuzz::kReceiver, Incarnation(1),
                                Generation(1),   index + 1};
    std::vector<wire::Payload> payloads;
    for (const std::size_t size : {0u, 4u, 24u, 64u}) {
      payloads.assign(rule.count_min, wire::hashed(share(Bytes(size, 1))));
      const auto frame = wire::seal(keys, header, message, payloads);
      if (!frame) continue;  // the tensor has another size
      Bytes sealed{1};
      put_le(sealed, static_cast<std::uint16_t>(frame->header.size()));
      append(sealed, frame->header);
      if (!payloads.empty()) append(sealed, *payloads[0].bytes);
      write(corpus / "envelope", name, sealed);
    }
  }
}

void write_hellos(const std::filesystem::path& corpus) {
  const crypto::Identity a = crypto::Identity::generate();
  const crypto::Identity b = crypto::Identity::generate();
  transport::ChannelClient client(a, b.node(), b.curve().public_key(), {1});
  transport::ChannelServer server(b, a.curve().public_key(), std::nullopt, {2});
  const Bytes offer = client.offer();
  const Bytes answer = server.on(offer)->reply;
  const Bytes confirm = client.on(answer)->reply;
  const Bytes ready = server.on(confirm)->reply;
  write(corpus / "hello", "to_server", hellos(0, {offer, confirm}));
  write(corpus / "hello", "to_registered", hellos(2, {offer, confirm}));
  write(corpus / "hello", "to_client", hellos(1, {answer, ready}));
  write(corpus / "hello", "refused",
        hellos(1, {transport::encode_refusal(transport::ChannelRefusal::kFull)}));
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  write_wire(arguments[1]);
  write_hellos(arguments[1]);
  return 0;
}
