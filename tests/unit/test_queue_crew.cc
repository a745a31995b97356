// What can be told of the crew without a mount. The rest is under the prefix queues. in
// tests/mount.

#include "alignfs/fuse/queue_crew.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <system_error>
#include <vector>

#include "unit/pipe.h"

namespace alignfs {
namespace {

constexpr std::size_t kPayload = 65536;

class QueueCrewTest : public testing::Test {
 protected:
  Duties duties() {
    return {.fd = pipe_.read_end.get(),
            .max_message = kPayload,
            .buffers = pool_,
            .pace = [](std::span<const std::byte>) { return Pace{}; },
            .process = [](std::span<std::byte>) { ADD_FAILURE() << "a request out of nothing"; },
            .gone = [this] { gone_ = true; }};
  }

  Pipe pipe_;
  BufferPool pool_{RingEntry::buffer_size(kPayload), 16};
  std::atomic<bool> gone_{false};
};

TEST_F(QueueCrewTest, SaysWhyTheKernelTakesNoEntries) {
  // A processor more than there are queues of: its queue has an entry with somebody else.
  const kernel::Processors processors{.possible = 3, .online = {0, 1}};
  for (const unsigned entries : {1u, 4u}) {
    QueueCrew crew(duties(), {.helpers = 2,
                              .processors = processors,
                              .entries = entries,
                              .payload = kPayload,
                              .depth = 4});
    try {
      crew.start();
      ADD_FAILURE() << "a pipe took entries";
    } catch (const std::system_error& problem) {
      // A pipe knows no such command.
      EXPECT_EQ(problem.code().value(), EOPNOTSUPP);
    }
  }
  EXPECT_FALSE(gone_);
  // Nothing of it is left: neither a thread nor a buffer.
  std::vector<BufferPool::Lease> all(pool_.limit());
  for (auto& lease : all) EXPECT_TRUE(lease = pool_.try_acquire());
}

TEST(QueueCrewEntries, ShareTheBuffersLessOneForWhoReadsTheDevice) {
  EXPECT_EQ(QueueCrew::entries_for(33, {.possible = 2, .online = {0, 1}}), 16U);
  EXPECT_EQ(QueueCrew::entries_for(34, {.possible = 2, .online = {0, 1}}), 16U);
  EXPECT_EQ(QueueCrew::entries_for(2, {.possible = 1, .online = {0}}), 1U);
}

TEST(QueueCrewEntries, QueuesOfProcessorsThatAreNotThereTakeOneEach) {
  EXPECT_EQ(QueueCrew::entries_for(33, {.possible = 10, .online = {0, 1}}), 12U);
}

TEST(QueueCrewEntries, ThereAreNoneWhereNotEveryQueueCanHaveOne) {
  EXPECT_EQ(QueueCrew::entries_for(2, {.possible = 2, .online = {0, 1}}), 0U);
  EXPECT_EQ(QueueCrew::entries_for(8, {.possible = 64, .online = {0, 1}}), 0U);
  EXPECT_EQ(QueueCrew::entries_for(8, {}), 0U);
}

}  // namespace
}  // namespace alignfs
