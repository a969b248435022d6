// Quantities as people read them. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <string>

namespace coshard {

/// "512 B", "1.50 KiB", "32.0 MiB": three digits, so that of two figures that are compared one can
/// see which is larger.
std::string bytes_text(double bytes);
std::string bytes_text(std::integral auto bytes) { return bytes_text(static_cast<double>(bytes)); }

}  // namespace coshard
