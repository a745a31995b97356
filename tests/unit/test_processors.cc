#include "alignfs/fuse/processors.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace alignfs {
namespace {

TEST(ProcessorQueues, AreThoseOfTheMachine) {
  const auto processors = kernel::processors();
  EXPECT_GE(processors.possible, processors.online.size());
  EXPECT_EQ(long(processors.online.size()), ::sysconf(_SC_NPROCESSORS_ONLN));
}

}  // namespace
}  // namespace alignfs
