// What a request may ask of a file's bytes: one range. The library that serves us copies the file
// once for every range that a request names, and a request may name thousands. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace coshard::node {

/// True for the value of a Range header that names one range of bytes: "bytes=A-B", "bytes=A-",
/// "bytes=-N", A at most B, at most 18 digits each.
bool is_one_range(std::string_view header);

}  // namespace coshard::node
