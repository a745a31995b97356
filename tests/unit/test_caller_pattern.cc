#include "alignfs/fuse/caller_pattern.h"

#include <gtest/gtest.h>

namespace alignfs {
namespace {

constexpr int kAlone = CallerPattern::kAlone, kCrowd = CallerPattern::kCrowd;
constexpr pid_t kOne = 100, kOther = 200;

void note(CallerPattern& pattern, int times, pid_t caller, std::size_t company) {
  for (int i = 0; i < times; ++i) pattern.note(caller, company);
}

TEST(CallerPattern, OneCallerIsAloneAfterEnoughRequestsByThemselves) {
  CallerPattern pattern;
  note(pattern, kAlone, kOne, 0);
  // The first one of a caller has nobody before it to be like.
  EXPECT_FALSE(pattern.alone());
  pattern.note(kOne, 0);
  EXPECT_TRUE(pattern.alone());
}

TEST(CallerPattern, ASecondCallerEndsBeingAlone) {
  CallerPattern pattern;
  note(pattern, 100, kOne, 0);
  pattern.note(kOther, 0);
  EXPECT_FALSE(pattern.alone());
}

TEST(CallerPattern, ManyRequestsAtOnceEndBeingAloneHoweverLongItLasted) {
  CallerPattern pattern;
  note(pattern, 1000, kOne, 0);
  pattern.note(kOne, 15);
  EXPECT_FALSE(pattern.alone());
  EXPECT_FALSE(pattern.crowded());
}

TEST(CallerPattern, OneCallerWithManyRequestsIsACrowdUntilAsManyCameByThemselves) {
  CallerPattern pattern;
  note(pattern, kCrowd, kOne, 3);
  EXPECT_FALSE(pattern.crowded());
  pattern.note(kOne, 3);
  EXPECT_TRUE(pattern.crowded());
  note(pattern, kCrowd - 1, kOne, 0);
  EXPECT_TRUE(pattern.crowded());
  pattern.note(kOne, 0);
  EXPECT_FALSE(pattern.crowded());
}

TEST(CallerPattern, SeveralCallersAreNoCrowd) {
  CallerPattern pattern;
  for (int i = 0; i < 10 * kCrowd; ++i) pattern.note(i % 2 == 0 ? kOne : kOther, 3);
  EXPECT_FALSE(pattern.crowded());
  EXPECT_FALSE(pattern.alone());
}

}  // namespace
}  // namespace alignfs
