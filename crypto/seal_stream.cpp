// See seal_stream.h.
// SPDX-License-Identifier: Apache-2.0
#include "crypto/seal_stream.h"

#include <sodium.h>

#include "crypto/sodium_init.h"
#include "protocol/base/check.h"

namespace coshard::crypto {
namespace {

using State = crypto_secretstream_xchacha20poly1305_state;

constexpr std::size_t kHeader = crypto_secretstream_xchacha20poly1305_HEADERBYTES;
constexpr std::size_t kExtra = crypto_secretstream_xchacha20poly1305_ABYTES;
static_assert(kSealKeyBytes == crypto_secretstream_xchacha20poly1305_KEYBYTES);

tl::unexpected<Error> refused() {
  return fail(ErrorCode::kPermissionDenied,
              "the sealed bytes are not those that were sealed under this key");
}

}  // namespace

Result<void> seal_stream(ByteView key, const StreamSource& source, const StreamSink& sink) {
  COSHARD_CHECK_OP(key.size(), ==, kSealKeyBytes);
  ensure_sodium();
  State state;
  Bytes header(kHeader);
  crypto_secretstream_xchacha20poly1305_init_push(&state, header.data(), key.data());
  COSHARD_TRY(sink(header));
  Bytes plain(kSealPieceBytes), sealed(kSealPieceBytes + kExtra);
  for (bool last = false; !last;) {
    COSHARD_ASSIGN(const std::size_t size, source(plain));
    last = size < plain.size();
    crypto_secretstream_xchacha20poly1305_push(
        &state, sealed.data(), nullptr, plain.data(), size, nullptr, 0,
        last ? crypto_secretstream_xchacha20poly1305_TAG_FINAL
             : crypto_secretstream_xchacha20poly1305_TAG_MESSAGE);
    COSHARD_TRY(sink(ByteView(sealed).first(size + kExtra)));
  }
  return {};
}

Result<void> open_stream(ByteView key, const StreamSource& source, const StreamSink& sink) {
  COSHARD_CHECK_OP(key.size(), ==, kSealKeyBytes);
  ensure_sodium();
  State state;
  Bytes header(kHeader);
  COSHARD_ASSIGN(const std::size_t had, source(header));
  if (had < kHeader ||
      crypto_secretstream_xchacha20poly1305_init_pull(&state, header.data(), key.data()) != 0)
    return refused();
  Bytes sealed(kSealPieceBytes + kExtra), plain(kSealPieceBytes);
  for (;;) {
    COSHARD_ASSIGN(const std::size_t size, source(sealed));
    unsigned char tag = 0;
    if (size < kExtra ||
        crypto_secretstream_xchacha20poly1305_pull(&state, plain.data(), nullptr, &tag,
                                                   sealed.data(), size, nullptr, 0) != 0)
      return refused();
    COSHARD_TRY(sink(ByteView(plain).first(size - kExtra)));
    if (tag != crypto_secretstream_xchacha20poly1305_TAG_FINAL) continue;
    COSHARD_ASSIGN(const std::size_t more, source(sealed));
    return more == 0 ? Result<void>() : refused();
  }
}

}  // namespace coshard::crypto
