#include "alignfs/fuse/idle_polling.h"

#include <gtest/gtest.h>

namespace alignfs {
namespace {

using std::chrono::microseconds;

class IdlePollingTest : public testing::Test {
 protected:
  IdlePolling::Clock::time_point at(int microsecond) const {
    return begin_ + microseconds(microsecond);
  }

  const IdlePolling::Clock::time_point begin_ = IdlePolling::Clock::now();
  IdlePolling polling_{microseconds(50)};
};

TEST_F(IdlePollingTest, LooksForAsLongAsTheLimitAndThenSleeps) {
  polling_.carried_out();
  polling_.slept(microseconds(10));
  EXPECT_TRUE(polling_.looks_again(at(0)));
  EXPECT_TRUE(polling_.looks_again(at(49)));
  EXPECT_FALSE(polling_.looks_again(at(50)));
}

TEST_F(IdlePollingTest, WorkBeginsTheLimitAnew) {
  polling_.carried_out();
  polling_.slept(microseconds(10));
  EXPECT_TRUE(polling_.looks_again(at(0)));
  polling_.busy();
  EXPECT_TRUE(polling_.looks_again(at(90)));
  EXPECT_TRUE(polling_.looks_again(at(139)));
}

TEST_F(IdlePollingTest, SleepsWhereTheLastGapWasLong) {
  polling_.carried_out();
  EXPECT_FALSE(polling_.looks_again(at(0))) << "nothing is known yet";
  polling_.slept(microseconds(50));
  EXPECT_FALSE(polling_.looks_again(at(100)));
  polling_.slept(microseconds(49));
  EXPECT_TRUE(polling_.looks_again(at(200)));
  EXPECT_FALSE(polling_.looks_again(at(250))) << "in vain";
  polling_.busy();
  EXPECT_FALSE(polling_.looks_again(at(300))) << "not again after that";
}

TEST_F(IdlePollingTest, LeavesTheProcessorToTheBackingOfASingleCaller) {
  polling_.slept(microseconds(10));
  polling_.sent_to_backing(true);
  EXPECT_FALSE(polling_.looks_again(at(0)));
  polling_.sent_to_backing(false);
  EXPECT_TRUE(polling_.looks_again(at(10)));
  for (int i = 0; i < 15; ++i) polling_.sent_to_backing(true);
  EXPECT_TRUE(polling_.looks_again(at(20)));
  polling_.sent_to_backing(true);
  EXPECT_FALSE(polling_.looks_again(at(30)));
}

TEST_F(IdlePollingTest, WhatOthersDoSaysNothing) {
  polling_.slept(microseconds(10));
  polling_.carried_out();
  polling_.left_to_others();
  EXPECT_FALSE(polling_.looks_again(at(0)));
}

TEST_F(IdlePollingTest, ALimitOfNothingNeverLooks) {
  IdlePolling never{microseconds(0)};
  never.carried_out();
  never.slept(microseconds(0));
  EXPECT_FALSE(never.looks_again(at(0)));
}

}  // namespace
}  // namespace alignfs
