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

}  // namespace
}  // namespace alignfs
