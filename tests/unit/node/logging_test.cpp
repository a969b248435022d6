// Log lines reach the file of the program, from the chosen level on, warnings at once.
// SPDX-License-Identifier: Apache-2.0
#include "node/logging.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/support/process.h"

namespace coshard::node {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Logging, WritesLinesOfTheChosenLevelToTheProgramsFile) {
  const test::TempDir dir;
  ASSERT_TRUE(start_logging({"coshard-test", dir / "logs", LogLevel::kInfo}));
  log(LogLevel::kDebug, "transport", "not for the file");
  log(LogLevel::kInfo, "round", "step 7 committed");
  log(LogLevel::kWarning, "round", "node abcd is silent");
  const std::string text = test::read_text(dir / "logs/coshard-test.log");
  EXPECT_THAT(text, HasSubstr("round: step 7 committed"));
  EXPECT_THAT(text, HasSubstr("warning round: node abcd is silent"));
  EXPECT_THAT(text, Not(HasSubstr("not for the file")));
  stop_logging();
  log(LogLevel::kError, "round", "after the end");  // dropped, not a crash
}

TEST(Logging, SaysALineOnceWhereStandardErrorIsTheSameFile) {
  const test::TempDir dir;
  std::filesystem::create_directory(dir / "logs");
  const std::string file = (dir / "logs/once.log").string();
  std::fflush(stderr);
  const int saved = dup(STDERR_FILENO);
  const int same = open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  ASSERT_GE(dup2(same, STDERR_FILENO), 0);
  ASSERT_TRUE(start_logging({"once", dir / "logs", LogLevel::kInfo}));
  log(LogLevel::kWarning, "round", "a node is silent");
  stop_logging();
  dup2(saved, STDERR_FILENO);
  close(saved);
  close(same);
  const std::string text = test::read_text(file);
  const auto first = text.find("a node is silent");
  ASSERT_NE(first, std::string::npos) << text;
  EXPECT_EQ(text.find("a node is silent", first + 1), std::string::npos) << text;
}

TEST(Logging, NamesAFolderThatCannotBeWritten) {
  const auto started = start_logging({"x", "/proc/nowhere/logs", LogLevel::kInfo});
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(started.error().message, HasSubstr("/proc/nowhere/logs"));
}

TEST(Logging, KnowsItsLevels) {
  EXPECT_EQ(*parse_log_level("warning"), LogLevel::kWarning);
  EXPECT_THAT(parse_log_level("loud").error().message,
              HasSubstr("expected debug, info, warning or error, found \"loud\""));
}

}  // namespace
}  // namespace coshard::node
