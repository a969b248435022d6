// SPDX-License-Identifier: Apache-2.0
#include "crypto/sodium_init.h"

#include <sodium.h>

#include "protocol/base/check.h"

namespace coshard::crypto {

void ensure_sodium() {
  static const int kStarted = sodium_init();
  COSHARD_CHECK_OP(kStarted, >=, 0);
}

}  // namespace coshard::crypto
