#include "alignfs/fuse/caution.h"

#include <gtest/gtest.h>

namespace alignfs {
namespace {

TEST(Caution, HoldsForItsTimeFromWhenItBegan) {
  Caution caution;
  EXPECT_FALSE(caution.holds());
  // Far enough from its end for a machine that stands still between the two lines.
  caution.begin(Caution::Clock::now() + std::chrono::hours(1));
  EXPECT_TRUE(caution.holds());
  caution.begin(Caution::Clock::now() - Caution::kTime);
  EXPECT_FALSE(caution.holds());
}

TEST(Caution, HoldsForAsLongAsItIsTold) {
  Caution caution;
  const auto before = Caution::Clock::now() - 2 * Caution::kTime;
  caution.begin(before, std::chrono::hours(1));
  EXPECT_TRUE(caution.holds());
  caution.begin(before, Caution::kTime);
  EXPECT_FALSE(caution.holds());
}

TEST(Caution, BeginsNow) {
  Caution caution;
  const auto before = Caution::Clock::now();
  caution.begin();
  while (caution.holds()) {
  }
  EXPECT_GE(Caution::Clock::now() - before, Caution::kTime);
}

/// How long a caution that begins gently at `now` holds.
std::chrono::milliseconds gently(Caution& caution, Caution::Clock::time_point now) {
  caution.begin_gently(now);
  std::chrono::milliseconds time(0);
  while (caution.holds(now + time)) ++time;
  return time;
}

TEST(Caution, GrowsWhileThingsGoBadlyAgain) {
  using std::chrono::milliseconds;
  Caution caution;
  auto now = Caution::Clock::now();
  for (const int expected : {6, 12, 24, 48, 96, 100, 100}) {
    EXPECT_EQ(gently(caution, now), milliseconds(expected));
    now += milliseconds(expected) + Caution::kTime - milliseconds(1);
  }
  EXPECT_EQ(gently(caution, now + milliseconds(1)), milliseconds(6)) << "forgotten";
  EXPECT_EQ(gently(caution, now + milliseconds(2)), milliseconds(12)) << "while one holds";
}

}  // namespace
}  // namespace alignfs
