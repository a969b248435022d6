// How the fold says that an entry breaks a rule. Private to accounts*.cpp. Any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "protocol/base/error.h"

namespace coshard::ledger {

inline tl::unexpected<Error> refuse(const std::string& why) {
  return fail(ErrorCode::kFailedPrecondition, why);
}

}  // namespace coshard::ledger
