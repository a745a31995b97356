#include "alignfs/fuse/portions.h"

#include <gtest/gtest.h>

namespace alignfs {
namespace {

void start(Portions& portions, int calls) {
  for (int i = 0; i < calls; ++i) portions.started();
}

TEST(Portions, WhoHasTimeToSleepPassesOnCallByCall) {
  Portions portions;
  for (int round = 0; round < 100; ++round) {
    start(portions, 16);
    EXPECT_EQ(portions.calls_to_start(), 1U);
    EXPECT_GE(portions.calls_to_end(), 1U);
    EXPECT_LE(portions.calls_to_end(), 2U);
    portions.slept();
  }
}

TEST(Portions, WhoNeverSleepsSavesSystemCalls) {
  Portions portions;
  start(portions, 100);
  EXPECT_GE(portions.calls_to_start(), 8U);
  EXPECT_GE(portions.calls_to_end(), 8U);
  start(portions, 100);
  EXPECT_GE(portions.calls_to_start(), 8U);
  portions.slept();
  EXPECT_EQ(portions.calls_to_start(), 1U) << "one sleep is enough to begin anew";
  EXPECT_LE(portions.calls_to_end(), 2U);
}

}  // namespace
}  // namespace alignfs
