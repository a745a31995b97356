#include "../../fs/report/log_limiter.h"

#include <gtest/gtest.h>

#include <chrono>

#include "sample_event.h"

namespace alignfs {
namespace {

using std::chrono::milliseconds;

class LogLimiterTest : public testing::Test {
 protected:
  EventKind kind_ = kind_of(sample_event());
  std::chrono::steady_clock::time_point now_{};
  LogLimiter limiter_{8, [this] { return now_; }};
};

TEST_F(LogLimiterTest, PrintsOneASecondWithTheCountOfTheOthers) {
  ASSERT_TRUE(limiter_.admit(kind_));
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(limiter_.admit(kind_));
  limiter_.leave_out(kind_);
  now_ += milliseconds(999);
  EXPECT_FALSE(limiter_.admit(kind_));
  now_ += milliseconds(1);
  const auto left_out = limiter_.admit(kind_);
  ASSERT_TRUE(left_out);
  EXPECT_EQ(left_out->events, 7U);
  EXPECT_EQ(left_out_text(*left_out), "\n  7 more like this in the last second");
  now_ += milliseconds(1000);
  EXPECT_EQ(left_out_text(*limiter_.admit(kind_)), "");
}

TEST_F(LogLimiterTest, SaysHowLongItKeptQuiet) {
  limiter_.admit(kind_);
  limiter_.leave_out(kind_);
  now_ += milliseconds(37'500);
  EXPECT_EQ(left_out_text(*limiter_.admit(kind_)), "\n  1 more like this in the last 37 seconds");
}

TEST_F(LogLimiterTest, KindsDoNotSilenceEachOther) {
  ASSERT_TRUE(limiter_.admit(kind_));
  EventKind other = kind_;
  other.pid += 1;
  EXPECT_TRUE(limiter_.admit(other));
  EXPECT_FALSE(limiter_.admit(other));
}

}  // namespace
}  // namespace alignfs
