// Invitations, endpoints and small files: what is accepted, what is refused and how.
// SPDX-License-Identifier: Apache-2.0
#include "node/startup.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/process.h"

namespace coshard::node {
namespace {

Invitation some_invitation() {
  return {{NodeId{{1, 2}}, "tcp://192.0.2.7:4600", crypto::CurveKey{3, 4}}, NetworkId{{5}}};
}

TEST(Startup, InvitationsSurviveTheirText) {
  const Invitation invitation = some_invitation();
  const auto parsed = parse_invitation(format_invitation(invitation) + "\n").value();
  EXPECT_EQ(parsed.coordinator.node, invitation.coordinator.node);
  EXPECT_EQ(parsed.coordinator.endpoint, invitation.coordinator.endpoint);
  EXPECT_EQ(parsed.coordinator.curve_public, invitation.coordinator.curve_public);
  EXPECT_EQ(parsed.network, invitation.network);
}

TEST(Startup, InvitationsAreReadFromAFileToo) {
  const test::TempDir dir;
  test::write_text(dir / "invitation", format_invitation(some_invitation()) + "\n");
  EXPECT_TRUE(read_invitation((dir / "invitation").string()));
  const auto missing = read_invitation((dir / "nothing").string());
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message.find("nothing"), std::string::npos);
}

TEST(Startup, OtherInvitationsAreRefused) {
  const std::string good = format_invitation(some_invitation());
  EXPECT_FALSE(parse_invitation(""));
  EXPECT_FALSE(parse_invitation("http" + good));
  EXPECT_FALSE(parse_invitation(good.substr(0, good.find("&curve"))));
  EXPECT_FALSE(parse_invitation("coshard://nowhere/?" + good.substr(good.find("node="))));
  std::string upper = good;
  upper[upper.find("node=") + 6] = 'G';
  EXPECT_FALSE(parse_invitation(upper));
}

TEST(Startup, EndpointsForListeningAndDialling) {
  EXPECT_EQ(listen_endpoint("tcp://0.0.0.0:0").value(), "tcp://0.0.0.0:*");
  EXPECT_EQ(listen_endpoint("tcp://127.0.0.1:4600").value(), "tcp://127.0.0.1:4600");
  for (const char* wrong :
       {"", "127.0.0.1:4600", "tcp://:1", "tcp://h:65536", "tcp://h:x", "tcp://h"})
    EXPECT_FALSE(listen_endpoint(wrong)) << wrong;
  EXPECT_EQ(advertised_endpoint("tcp://0.0.0.0:4601", ""), "tcp://0.0.0.0:4601");
  EXPECT_EQ(advertised_endpoint("tcp://0.0.0.0:4601", "box"), "tcp://box:4601");
  EXPECT_EQ(advertised_endpoint("tcp://0.0.0.0:4601", "box:99"), "tcp://box:99");
}

TEST(Startup, SmallFilesAreReplacedWholeWithTheirMode) {
  const test::TempDir dir;
  ASSERT_TRUE(replace_file(dir / "token", "first", 0600));
  ASSERT_TRUE(replace_file(dir / "token", "second", 0600));
  EXPECT_EQ(test::read_text(dir / "token"), "second");
  struct stat found {};
  ASSERT_EQ(::stat((dir / "token").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777U, 0600U);
  EXPECT_FALSE(replace_file(dir.path() / "missing" / "file", "text"));
}

TEST(Startup, AClockBeforeTheRoundsFoundingIsNamedWithWhatToDo) {
  constexpr std::uint64_t kFounded = 1'700'000'000'000;
  EXPECT_FALSE(clock_complaint(kFounded, kFounded));
  EXPECT_FALSE(clock_complaint(kFounded - 50'000, kFounded)) << "clocks differ by seconds";
  EXPECT_FALSE(clock_complaint(kFounded + 1'000'000'000, kFounded));
  const auto complaint = clock_complaint(0, kFounded);
  ASSERT_TRUE(complaint);
  for (const char* part : {"expected a time after 2023-11-14 22:13:20 UTC",
                           "found 1970-01-01 00:00:00 UTC", "timedatectl"})
    EXPECT_NE(complaint->find(part), std::string::npos) << *complaint;
}

}  // namespace
}  // namespace coshard::node
