// SPDX-License-Identifier: Apache-2.0
#include "crypto/witness_certificate.h"

#include <algorithm>

#include "crypto/identity.h"
#include "crypto/signed_payload.h"

namespace coshard::crypto {
namespace {

constexpr std::size_t kFixedBytes = 32 * 2 + 8 + 64 * 2;

template <std::size_t N>
std::array<std::uint8_t, N> take(ByteView& bytes) {
  const auto field = to_array<N>(bytes.first(N));
  bytes = bytes.subspan(N);
  return *field;
}

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= WitnessCertificate::kNameBytesMax &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return c > ' ' && c < 0x7f && c != '+'; });
}

}  // namespace

Bytes WitnessCertificate::signed_part() const {
  Bytes out;
  append(out, root_public);
  append(out, witness_public);
  put_be<std::uint64_t>(out, serial);
  append(out, as_bytes(name));
  return out;
}

WitnessCertificate WitnessCertificate::sign(const KeyPair& root, const KeyPair& witness,
                                            std::string name, std::uint64_t serial) {
  WitnessCertificate out;
  out.root_public = root.public_key();
  out.witness_public = witness.public_key();
  out.serial = serial;
  out.name = std::move(name);
  const Bytes payload = out.signed_part();
  out.root_signature = sign_payload(root, domains::kWitness, kNoNetwork, payload);
  out.witness_signature = sign_payload(witness, domains::kWitness, kNoNetwork, payload);
  return out;
}

Bytes WitnessCertificate::encode() const {
  Bytes out;
  append(out, root_public);
  append(out, witness_public);
  put_be<std::uint64_t>(out, serial);
  append(out, root_signature);
  append(out, witness_signature);
  append(out, as_bytes(name));
  return out;
}

Result<WitnessCertificate> WitnessCertificate::decode(ByteView bytes) {
  if (bytes.size() <= kFixedBytes || bytes.size() > kFixedBytes + kNameBytesMax) {
    return fail(ErrorCode::kInvalidArgument, "a witness certificate has 201 to 455 bytes, found " +
                                                 std::to_string(bytes.size()));
  }
  WitnessCertificate out;
  out.root_public = take<32>(bytes);
  out.witness_public = take<32>(bytes);
  out.serial = get_be<std::uint64_t>(take<8>(bytes));
  out.root_signature = take<64>(bytes);
  out.witness_signature = take<64>(bytes);
  out.name = as_text(bytes);
  return out;
}

Result<void> WitnessCertificate::verify() const {
  const bool weak = !is_valid_public_key(root_public) || !is_valid_public_key(witness_public);
  if (weak || root_public == witness_public || !is_name(name)) {
    return fail(ErrorCode::kPermissionDenied,
                "a witness certificate names two keys, valid and different, and a name without "
                "spaces and plus signs");
  }
  const Bytes payload = signed_part();
  if (!verify_payload(root_public, domains::kWitness, kNoNetwork, payload, root_signature) ||
      !verify_payload(witness_public, domains::kWitness, kNoNetwork, payload, witness_signature)) {
    return fail(ErrorCode::kPermissionDenied,
                "a witness certificate is signed by its root and by the witness key");
  }
  return {};
}

AccountId WitnessCertificate::account() const { return account_id(root_public); }

}  // namespace coshard::crypto
