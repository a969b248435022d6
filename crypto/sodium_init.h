// Start-up of the cryptographic library, once per process. Any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace coshard::crypto {

/// Makes libsodium ready. Cheap after the first call; every function of crypto/ that needs it calls
/// it. Aborts when the library cannot start, because nothing may run without it.
void ensure_sodium();

}  // namespace coshard::crypto
