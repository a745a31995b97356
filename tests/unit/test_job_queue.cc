#include "alignfs/fuse/job_queue.h"

#include <gtest/gtest.h>

namespace alignfs {
namespace {

Job job(bool waits) {
  Job result;
  result.waits = waits;
  return result;
}

TEST(JobQueue, ShortJobsComeFirst) {
  JobQueue queue(8);
  queue.push(job(true));
  queue.push(job(false));
  EXPECT_FALSE(queue.pop(false)->waits);
  EXPECT_TRUE(queue.pop(false)->waits);
  EXPECT_FALSE(queue.pop(false).has_value());
}

TEST(JobQueue, LongJobsLeaveHelpersForOthers) {
  struct Case {
    unsigned helpers, most;
  };
  for (const auto [helpers, most] : {Case{1, 1}, Case{2, 1}, Case{3, 1}, Case{4, 2}, Case{8, 6}}) {
    JobQueue queue(helpers);
    for (unsigned i = 0; i <= most; ++i) queue.push(job(true));
    for (unsigned i = 0; i < most; ++i) EXPECT_TRUE(queue.pop(false).has_value()) << helpers;
    EXPECT_FALSE(queue.pop(false).has_value()) << helpers;
    queue.push(job(false));
    EXPECT_FALSE(queue.pop(false)->waits);
    queue.done(false);
    EXPECT_FALSE(queue.pop(false).has_value()) << helpers;
    queue.done(true);
    EXPECT_TRUE(queue.pop(false).has_value()) << helpers;
  }
}

TEST(JobQueue, AtTheEndEverythingComes) {
  JobQueue queue(1);
  for (int i = 0; i < 3; ++i) queue.push(job(true));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(queue.pop(true).has_value());
}

}  // namespace
}  // namespace alignfs
