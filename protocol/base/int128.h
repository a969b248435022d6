// 128-bit integers, which GCC and clang have and ISO C++ has not: products of two 64-bit amounts
// stay exact.
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace coshard {

__extension__ typedef unsigned __int128 uint128_t;
__extension__ typedef __int128 int128_t;

}  // namespace coshard
