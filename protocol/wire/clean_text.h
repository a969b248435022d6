// Text that may be shown: a peer's words end up on somebody's terminal. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace coshard::wire {

/// `text` with control characters as spaces, broken UTF-8 (RFC 3629) as question marks, and cut to
/// limits::kTextBytesMax at a character. Clean text comes back as it is.
std::string clean_text(std::string_view text);

}  // namespace coshard::wire
