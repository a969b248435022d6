// SPDX-License-Identifier: Apache-2.0
#include "protocol/wire/envelope.h"

#include <google/protobuf/arena.h>

#include "crypto/hash.h"
#include "crypto/signed_payload.h"
#include "protocol/base/check.h"
#include "protocol/base/limits.h"
#include "protocol/wire/envelope.pb.h"
#include "protocol/wire/prescan.h"

namespace coshard::wire {
namespace {

using crypto::domains::kEnvelope;

// The parsed header, still unbelieved.
struct Parsed {
  std::uint32_t version = 0;
  EnvelopeHeader header;
  std::uint32_t kind = 0;
  Bytes body;
  std::vector<std::uint64_t> payload_sizes;
  std::vector<Hash> payload_hashes;
};

std::string bytes_of(ByteView view) { return std::string(as_text(view)); }

template <class Array>
bool copy_exactly(const std::string& from, Array& to) {
  if (from.size() != to.size()) return false;
  std::memcpy(to.data(), from.data(), to.size());
  return true;
}

Result<Parsed> parse(ByteView bytes) {
  COSHARD_TRY(prescan(*proto::Envelope::descriptor(), bytes));
  google::protobuf::Arena arena;
  auto& fields = *google::protobuf::Arena::CreateMessage<proto::Envelope>(&arena);
  if (!fields.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return fail(ErrorCode::kInvalidArgument, "the envelope does not parse");
  }
  Parsed parsed;
  parsed.version = fields.version();
  parsed.header.incarnation = Incarnation(fields.incarnation());
  parsed.header.generation = Generation(fields.generation());
  parsed.header.sequence = fields.sequence();
  parsed.kind = fields.kind();
  parsed.body = to_bytes(as_bytes(fields.body()));
  bool sized = copy_exactly(fields.network(), parsed.header.network.bytes) &&
               copy_exactly(fields.sender(), parsed.header.sender.bytes) &&
               copy_exactly(fields.receiver(), parsed.header.receiver.bytes);
  for (const auto& payload : fields.payloads()) {
    parsed.payload_sizes.push_back(payload.size());
    sized = sized && copy_exactly(payload.sha256(), parsed.payload_hashes.emplace_back());
  }
  if (!sized || !to_kind(parsed.kind) || parsed.payload_sizes.size() > limits::kPayloadsMax) {
    return fail(ErrorCode::kInvalidArgument,
                "the envelope has an id or hash of a foreign size, an unknown kind (" +
                    std::to_string(parsed.kind) + "), or too many payloads");
  }
  return parsed;
}

std::string expected_found(const char* what, const std::string& expected,
                           const std::string& found) {
  return std::string(what) + ": expected " + expected + ", found " + found;
}

// One open() in progress: each check either passes or refuses with its reason.
class Opening {
 public:
  Opening(const Frame& frame, const OpenPolicy& policy, RefusalCounters& counters)
      : frame_(frame), policy_(policy), counters_(counters) {}

  Result<Opened> run() {
    COSHARD_TRY(check_sizes());
    auto parsed = parse(frame_.header);
    if (!parsed) return refuse(RefusalReason::kMalformed, std::move(parsed.error()));
    parsed_ = std::move(*parsed);
    COSHARD_TRY(check_addressing());
    COSHARD_TRY(check_signature());
    COSHARD_TRY(check_freshness());
    COSHARD_TRY(check_payloads());
    auto message = decode(kind(), parsed_.body);
    if (!message) return refuse(RefusalReason::kBody, std::move(message.error()));
    if (auto fits = check_payload_sizes(*message, parsed_.payload_sizes); !fits) {
      return refuse(RefusalReason::kBody, std::move(fits.error()));
    }
    remember();
    return Opened{parsed_.header, std::move(*message), payloads()};
  }

 private:
  MessageKind kind() const { return static_cast<MessageKind>(parsed_.kind); }
  bool is_join() const { return policy_.join_allowed && kind() == MessageKind::kJoinRequest; }

  tl::unexpected<Error> refuse(RefusalReason reason, Error error) {
    counters_.count(reason);
    return tl::unexpected(
        error.within("envelope refused (" + std::string(to_string(reason)) + ")"));
  }
  tl::unexpected<Error> refuse(RefusalReason reason, ErrorCode code, std::string message) {
    return refuse(reason, Error{code, std::move(message)});
  }

  Result<void> check_sizes() {
    bool fits = !frame_.header.empty() && frame_.header.size() <= limits::kHeaderBytesMax &&
                frame_.payloads.size() <= limits::kPayloadsMax;
    for (const SharedBytes& payload : frame_.payloads) {
      fits = fits && payload && payload->size() <= limits::kPayloadBytesMax;
    }
    if (fits) return {};
    return refuse(RefusalReason::kSize, ErrorCode::kInvalidArgument,
                  expected_found("frame", "a header of 1 to 65536 bytes and at most 4 payloads",
                                 std::to_string(frame_.header.size()) + " bytes and " +
                                     std::to_string(frame_.payloads.size()) + " payloads"));
  }

  Result<void> check_addressing() {
    const EnvelopeHeader& header = parsed_.header;
    if (parsed_.version != kWireVersion) {
      return refuse(RefusalReason::kVersion, ErrorCode::kInvalidArgument,
                    expected_found("wire version", std::to_string(kWireVersion),
                                   std::to_string(parsed_.version)));
    }
    const bool joining = is_join() && header.network == crypto::kNoNetwork;
    if (policy_.network && header.network != *policy_.network && !joining) {
      return refuse(
          RefusalReason::kNetwork, ErrorCode::kPermissionDenied,
          expected_found("network", policy_.network->short_hex(), header.network.short_hex()));
    }
    if (header.receiver != policy_.receiver) {
      return refuse(
          RefusalReason::kReceiver, ErrorCode::kPermissionDenied,
          expected_found("receiver", policy_.receiver.short_hex(), header.receiver.short_hex()));
    }
    if (policy_.channel_peer && header.sender != *policy_.channel_peer) {
      return refuse(
          RefusalReason::kSender, ErrorCode::kPermissionDenied,
          expected_found("sender", policy_.channel_peer->short_hex(), header.sender.short_hex()));
    }
    sender_ = policy_.sender ? policy_.sender(header.sender) : nullptr;
    if (sender_ == nullptr && !is_join()) {
      return refuse(RefusalReason::kSender, ErrorCode::kPermissionDenied,
                    expected_found("sender", "a member", header.sender.short_hex()));
    }
    return {};
  }

  Result<void> check_signature() {
    const crypto::PublicKey& key = parsed_.header.sender.bytes;
    // A member's key was looked at when it was registered; a stranger's has not been.
    const bool sound = sender_ != nullptr || crypto::is_valid_public_key(key);
    if (sound && crypto::verify_payload(key, kEnvelope, parsed_.header.network, frame_.header,
                                        frame_.signature)) {
      return {};
    }
    return refuse(RefusalReason::kSignature, ErrorCode::kPermissionDenied,
                  "the signature is not the sender's over these bytes");
  }

  Result<void> check_freshness() {
    const EnvelopeHeader& header = parsed_.header;
    if (is_join() && header.incarnation == Incarnation(0)) return {};  // asking twice does no harm
    const bool newer = sender_ != nullptr && sender_->newer_incarnation_allowed &&
                       header.incarnation > sender_->incarnation;
    if (sender_ == nullptr || (header.incarnation != sender_->incarnation && !newer)) {
      return refuse(
          RefusalReason::kIncarnation, ErrorCode::kFailedPrecondition,
          expected_found("incarnation", std::to_string(sender_ ? sender_->incarnation.value : 0),
                         std::to_string(header.incarnation.value)));
    }
    if (sender_->generation_min && header.generation < *sender_->generation_min) {
      return refuse(
          RefusalReason::kGeneration, ErrorCode::kFailedPrecondition,
          expected_found("generation", std::to_string(sender_->generation_min->value) + " or newer",
                         std::to_string(header.generation.value)));
    }
    const auto verdict =
        newer ? ReplayWindow().check(header.sequence) : sender_->replay.check(header.sequence);
    if (verdict == ReplayWindow::Verdict::kFresh) return {};
    return refuse(
        RefusalReason::kReplay, ErrorCode::kPermissionDenied,
        expected_found("sequence",
                       "one not seen before, newest is " + std::to_string(sender_->replay.newest()),
                       std::to_string(header.sequence)));
  }

  Result<void> check_payloads() {
    if (parsed_.payload_sizes.size() != frame_.payloads.size()) {
      return refuse(RefusalReason::kPayloadSize, ErrorCode::kCorruption,
                    expected_found("payloads", std::to_string(parsed_.payload_sizes.size()),
                                   std::to_string(frame_.payloads.size())));
    }
    for (std::size_t i = 0; i < frame_.payloads.size(); ++i) {
      const Bytes& payload = *frame_.payloads[i];
      if (payload.size() != parsed_.payload_sizes[i]) {
        return refuse(RefusalReason::kPayloadSize, ErrorCode::kCorruption,
                      expected_found("payload bytes", std::to_string(parsed_.payload_sizes[i]),
                                     std::to_string(payload.size())));
      }
    }
    for (std::size_t i = 0; i < frame_.payloads.size(); ++i) {
      const Hash found = crypto::sha256(*frame_.payloads[i]);
      if (found != parsed_.payload_hashes[i]) {
        return refuse(
            RefusalReason::kPayloadHash, ErrorCode::kCorruption,
            expected_found("payload hash", to_hex(parsed_.payload_hashes[i]), to_hex(found)));
      }
    }
    return {};
  }

  void remember() {
    const EnvelopeHeader& header = parsed_.header;
    if (sender_ == nullptr || (is_join() && header.incarnation == Incarnation(0))) return;
    if (header.incarnation != sender_->incarnation) {
      sender_->incarnation = header.incarnation;
      sender_->replay = ReplayWindow();
    }
    if (sender_->generation_min) sender_->generation_min = header.generation;
    COSHARD_CHECK(sender_->replay.accept(header.sequence));
  }

  std::vector<Payload> payloads() const {
    std::vector<Payload> out;
    for (std::size_t i = 0; i < frame_.payloads.size(); ++i) {
      out.push_back(Payload{frame_.payloads[i], parsed_.payload_hashes[i]});
    }
    return out;
  }

  const Frame& frame_;
  const OpenPolicy& policy_;
  RefusalCounters& counters_;
  Parsed parsed_;
  SenderState* sender_ = nullptr;
};

}  // namespace

std::size_t Frame::size_bytes() const {
  std::size_t bytes = header.size() + signature.size();
  for (const SharedBytes& payload : payloads) bytes += payload ? payload->size() : 0;
  return bytes;
}

Payload hashed(SharedBytes bytes) {
  COSHARD_CHECK(bytes != nullptr);
  const Hash hash = crypto::sha256(*bytes);
  return Payload{std::move(bytes), hash};
}

Result<Frame> seal(const crypto::KeyPair& operating, const EnvelopeHeader& header,
                   const Message& message, std::span<const Payload> payloads) {
  COSHARD_CHECK(header.sender.bytes == operating.public_key());
  COSHARD_ASSIGN(const Bytes body, encode(message));
  std::vector<std::uint64_t> sizes;
  Frame frame;
  proto::Envelope fields;
  for (const Payload& payload : payloads) {
    sizes.push_back(payload.bytes->size());
    auto& descriptor = *fields.add_payloads();
    descriptor.set_size(payload.bytes->size());
    descriptor.set_sha256(bytes_of(payload.hash));
    frame.payloads.push_back(payload.bytes);
  }
  COSHARD_TRY(check_payload_sizes(message, sizes));
  fields.set_version(kWireVersion);
  fields.set_network(bytes_of(header.network.view()));
  fields.set_sender(bytes_of(header.sender.view()));
  fields.set_receiver(bytes_of(header.receiver.view()));
  fields.set_incarnation(header.incarnation.value);
  fields.set_generation(header.generation.value);
  fields.set_sequence(header.sequence);
  fields.set_kind(static_cast<std::uint32_t>(kind_of(message)));
  fields.set_body(bytes_of(body));
  const std::size_t bytes = fields.ByteSizeLong();
  if (bytes > limits::kHeaderBytesMax) {
    return fail(ErrorCode::kResourceExhausted, std::string(name_of(kind_of(message))) +
                                                   ": expected a header of at most " +
                                                   std::to_string(limits::kHeaderBytesMax) +
                                                   " bytes, found " + std::to_string(bytes));
  }
  frame.header.resize(bytes);
  fields.SerializeWithCachedSizesToArray(frame.header.data());
  frame.signature = crypto::sign_payload(operating, kEnvelope, header.network, frame.header);
  return frame;
}

std::string_view to_string(RefusalReason reason) {
  static constexpr std::array<std::string_view, kRefusalReasons> kNames{
      "size",        "malformed",  "version", "network",      "receiver",     "sender", "signature",
      "incarnation", "generation", "replay",  "payload_size", "payload_hash", "body"};
  return kNames[static_cast<std::size_t>(reason)];
}

std::uint64_t RefusalCounters::total() const {
  std::uint64_t sum = 0;
  for (const std::uint64_t count : counts_) sum += count;
  return sum;
}

Result<Opened> open(const Frame& frame, const OpenPolicy& policy, RefusalCounters& counters) {
  return Opening(frame, policy, counters).run();
}

Bytes word_of(const Frame& frame) {
  Bytes word = frame.header;
  append(word, frame.signature);
  return word;
}

Result<Opened> read_word(ByteView word, NetworkId network, const NodeId& signer) {
  constexpr std::size_t kSignature = crypto::Signature{}.size();
  if (word.size() <= kSignature || word.size() > limits::kHeaderBytesMax + kSignature)
    return fail(ErrorCode::kInvalidArgument, "a signed word has a size that cannot be");
  const ByteView header = word.first(word.size() - kSignature);
  const auto signature = *to_array<kSignature>(word.last(kSignature));
  COSHARD_ASSIGN(const Parsed parsed, parse(header));
  if (parsed.version != kWireVersion || parsed.header.network != network ||
      parsed.header.sender != signer || !parsed.payload_sizes.empty() ||
      !crypto::verify_payload(signer.bytes, kEnvelope, network, header, signature))
    return fail(ErrorCode::kPermissionDenied,
                "a word that " + signer.short_hex() + " has not signed in this network");
  COSHARD_ASSIGN(Message message, decode(static_cast<MessageKind>(parsed.kind), parsed.body));
  return Opened{parsed.header, std::move(message), {}};
}

Result<Peeked> peek(const Frame& frame) {
  if (frame.header.size() > limits::kHeaderBytesMax) {
    return fail(ErrorCode::kInvalidArgument, "the header is too long");
  }
  COSHARD_ASSIGN(const Parsed parsed, parse(frame.header));
  return Peeked{parsed.header, static_cast<MessageKind>(parsed.kind)};
}

Sealer::Sealer(const crypto::KeyPair& operating, NetworkId network, Incarnation incarnation,
               Generation generation)
    : operating_(operating),
      self_{operating.public_key()},
      network_(network),
      incarnation_(incarnation),
      generation_(generation) {}

Result<Frame> Sealer::seal(const NodeId& to, const Message& message,
                           std::span<const Payload> payloads) {
  // Whoever asks to be let in is nobody yet, even where it claims a seat that it had.
  const bool asks = std::holds_alternative<JoinRequest>(message);
  const EnvelopeHeader header{network_,    self_,
                              to,          asks ? Incarnation(0) : incarnation_,
                              generation_, last_sequence_[to] + 1};
  auto frame = wire::seal(operating_, header, message, payloads);
  if (frame) last_sequence_[to] = header.sequence;
  return frame;
}

void Sealer::rebind(NetworkId network, Incarnation incarnation, Generation generation) {
  // The same incarnation goes on counting: its numbers are spent.
  if (network != network_ || incarnation != incarnation_) last_sequence_.clear();
  network_ = network;
  incarnation_ = incarnation;
  generation_ = generation;
}

}  // namespace coshard::wire
