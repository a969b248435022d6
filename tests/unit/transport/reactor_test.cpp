// SPDX-License-Identifier: Apache-2.0
#include "protocol/transport/reactor.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <thread>

#include "protocol/base/limits.h"

namespace coshard::transport {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
using std::chrono_literals::operator""h;

// A turn waits in real time and timers are due in the time of the clock that the test moves: with a
// manual clock a turn of no wait is all there is.
class ReactorTest : public ::testing::Test {
 protected:
  void pass(Duration time) {
    clock_.advance(time);
    while (reactor_.run_once(0ms)) {
    }
  }
  ManualClock clock_;
  Reactor reactor_{clock_};
  std::vector<int> ran_;
};

TEST_F(ReactorTest, TimersFireInTheOrderOfTheirTime) {
  reactor_.after(30ms, [&] { ran_.push_back(3); });
  reactor_.after(10ms, [&] { ran_.push_back(1); });
  reactor_.after(20ms, [&] { ran_.push_back(2); });
  pass(5ms);
  EXPECT_TRUE(ran_.empty());
  pass(25ms);
  EXPECT_EQ(ran_, (std::vector<int>{1, 2, 3}));
  pass(1s);
  EXPECT_EQ(ran_.size(), 3u);
}

TEST_F(ReactorTest, APeriodicTimerSkipsWhatItMissed) {
  const auto timer = reactor_.every(10ms, [&] { ran_.push_back(0); });
  pass(10ms);
  EXPECT_EQ(ran_.size(), 1u);
  pass(95ms);
  EXPECT_EQ(ran_.size(), 2u);
  pass(4ms);  // 109 ms: the next is due at 110
  EXPECT_EQ(ran_.size(), 2u);
  pass(1ms);
  EXPECT_EQ(ran_.size(), 3u);
  reactor_.cancel(timer);
  pass(1s);
  EXPECT_EQ(ran_.size(), 3u);
}

TEST_F(ReactorTest, ATimerMayCancelItselfAndOthersThatAreDue) {
  Reactor::TimerId second = 0;
  const auto self = std::make_shared<Reactor::TimerId>();
  *self = reactor_.every(10ms, [&, self] {
    ran_.push_back(1);
    reactor_.cancel(second);
    reactor_.cancel(*self);
  });
  second = reactor_.after(10ms, [&] { ran_.push_back(2); });
  pass(100ms);
  EXPECT_EQ(ran_, std::vector<int>{1});
}

TEST_F(ReactorTest, PostedTasksRunInOrderAndWhatTheyPostRunsLater) {
  ASSERT_TRUE(reactor_.post([&] {
    ran_.push_back(1);
    ASSERT_TRUE(reactor_.post([&] { ran_.push_back(3); }));
  }));
  ASSERT_TRUE(reactor_.post([&] { ran_.push_back(2); }));
  EXPECT_TRUE(ran_.empty());
  reactor_.run_once(0ms);
  EXPECT_EQ(ran_, (std::vector<int>{1, 2}));
  reactor_.run_once(0ms);
  EXPECT_EQ(ran_, (std::vector<int>{1, 2, 3}));
}

TEST_F(ReactorTest, PostingIsBounded) {
  for (std::size_t i = 0; i < limits::kReactorTasksMax; ++i) ASSERT_TRUE(reactor_.post([] {}));
  EXPECT_FALSE(reactor_.post([] {}));
}

TEST_F(ReactorTest, SourcesAreCalledWhileWatched) {
  const int fd = ::eventfd(1, EFD_NONBLOCK);
  const auto source = reactor_.watch_fd(fd, [&] { ran_.push_back(1); });
  const int other_fd = ::eventfd(1, EFD_NONBLOCK);
  Reactor::SourceId other = 0;
  reactor_.watch_fd(fd, [&] { reactor_.unwatch(other); });
  other = reactor_.watch_fd(other_fd, [&] { ran_.push_back(2); });
  EXPECT_TRUE(reactor_.run_once(0ms));
  EXPECT_EQ(ran_, std::vector<int>{1});  // the second was unwatched in the same turn
  reactor_.unwatch(source);
  reactor_.run_once(0ms);
  EXPECT_EQ(ran_.size(), 1u);
  ::close(fd);
  ::close(other_fd);
}

TEST(Reactor, RunsOnItsThreadUntilStoppedFromAnother) {
  SystemClock clock;
  Reactor reactor(clock);
  std::thread::id where;
  int count = 0;
  std::thread loop([&] { reactor.run(); });
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(reactor.post([&] {
      where = std::this_thread::get_id();
      ++count;
    }));
  }
  const std::thread::id loop_id = loop.get_id();
  ASSERT_TRUE(reactor.post([&] { reactor.stop(); }));
  loop.join();
  EXPECT_EQ(count, 1000);
  EXPECT_EQ(where, loop_id);
  EXPECT_FALSE(reactor.post([] {}));
}

TEST(Reactor, AnUnansweredTimerEndsTheWait) {
  SystemClock clock;
  Reactor reactor(clock);
  bool fired = false;
  reactor.after(2ms, [&] { fired = true; });
  const TimePoint before = clock.now();
  while (!fired) reactor.run_once(1h);
  EXPECT_LT(clock.now() - before, 10s);
}

}  // namespace
}  // namespace coshard::transport
