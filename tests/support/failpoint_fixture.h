// Programs that are struck at a named place (protocol/base/failpoint.h), and tests that only a
// build with failpoints can run.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "tests/support/round_fixture.h"

namespace coshard::test {

/// `verb` (kill, stop or term) at the `passage`th time that the program comes by, counted from 1:
/// for itself, or for the process whose id is in `pid_file`.
inline Handicap struck_at(const std::string& failpoint, const std::string& verb, int passage,
                          const Path& pid_file = {}) {
  Handicap handicap;
  std::string order = failpoint + "=" + verb + "@" + std::to_string(passage);
  if (!pid_file.empty()) order += ":" + pid_file.string();
  handicap.environment = {{"COSHARD_FAILPOINTS", std::move(order)}};
  return handicap;
}

template <class Param>
class FailpointTest : public testing::TestWithParam<Param> {
  void SetUp() override {
#ifndef COSHARD_FAILPOINTS
    GTEST_SKIP() << "this build has no failpoints; configure with -DCOSHARD_FAILPOINTS=ON";
#endif
  }
};

}  // namespace coshard::test
