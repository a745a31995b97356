// What could go wrong where requests share threads, buffers and a ring: all go on, and durable
// writes are.

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "mount/support/fixture.h"
#include "mount/support/trouble.h"

namespace alignfs::test {
namespace {

constexpr std::size_t kMiB = 1 << 20;

class Engines : public MountTest, public ::testing::WithParamInterface<const char*> {};

INSTANTIATE_TEST_SUITE_P(Threads, Engines,
                         ::testing::Values("threads=1", "threads=2", "threads=8", "threads=16"),
                         [](const auto& info) {
                           const std::string option = info.param;
                           return "threads_" + option.substr(option.find('=') + 1);
                         });

/// Large reads take all buffers while writes wait for locks that other requests hold: whoever gives
/// a lock or a buffer back must not wait for one.
TEST_P(Engines, ConflictsAmongManyRequestsAllEnd) {
  const Backing backing(LoopDisk::Shape{});
  const std::string content = pattern(32 * kMiB, 1);
  write_file(backing / "file", content);
  Mount mount(backing.path(), GetParam());
  std::vector<std::thread> threads;
  const auto repeat = [&](int callers, int times, int flags, auto call) {
    for (int i = 0; i < callers; ++i) {
      threads.emplace_back([=, &mount] {
        const Fd fd = open_file(mount / "file", O_RDWR | flags);
        for (int round = 0; round < times; ++round) call(fd.get(), i * times + round);
      });
    }
  };
  repeat(16, 100, O_DIRECT, [](int fd, int round) {
    AlignedBuffer buffer(kMiB);
    EXPECT_EQ(pread(fd, buffer.data(), kMiB, off_t(round % 31 * kMiB)), ssize_t(kMiB));
  });
  // Each writes what is there already, so that the file must be as it was.
  repeat(4, 50, 0, [&](int fd, int round) {
    const std::size_t at = std::size_t(round) * 77'777 % (20 * kMiB);
    EXPECT_EQ(pwrite(fd, content.data() + at, 100'000, off_t(at)), 100'000);
  });
  repeat(4, 50, O_DIRECT, [&](int fd, int round) {
    AlignedBuffer buffer(4096);
    const std::size_t at = std::size_t(round) * 13 % 4096 * 4096;
    buffer.fill(content.substr(at, 4096));
    EXPECT_EQ(pwrite(fd, buffer.data(), 4096, off_t(at)), 4096);
  });
  repeat(2, 3, 0, [](int fd, int) {
    off_t from = 0, to = 24 * kMiB;
    EXPECT_GT(copy_file_range(fd, &from, fd, &to, kMiB, 0), 0);
  });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(mount.stop(), 0);
  const std::string now = read_file(backing / "file");
  // The copies may have been short.
  EXPECT_TRUE(same_bytes(now.substr(0, 24 * kMiB), content.substr(0, 24 * kMiB)));
  EXPECT_TRUE(same_bytes(now.substr(25 * kMiB), content.substr(25 * kMiB)));
}

class EngineDurability : public MountTest {};

TEST_F(EngineDurability, WritesAreSyncedWhereTheBackingNeedsACallForIt) {
  TempDir disk;
  write_file(disk / "file", pattern(64 * 4096, 1));
  constexpr auto kDelay = std::chrono::milliseconds(200);
  TroubleFs trouble(disk.path(), "delay_ms=200");
  const auto time_of_write = [&](const Mount& mount, int flags) {
    const Fd fd = open_file(mount / "file", O_RDWR | O_DIRECT | flags);
    AlignedBuffer buffer(4096);
    const auto begun = std::chrono::steady_clock::now();
    EXPECT_EQ(pwrite(fd.get(), buffer.data(), 4096, 8192), 4096);
    return std::chrono::steady_clock::now() - begun;
  };
  // Only a sync of the backing takes that long.
  EXPECT_GE(time_of_write(Mount(trouble.path()), O_DSYNC), kDelay);
  EXPECT_GE(time_of_write(Mount(trouble.path()), O_SYNC), kDelay);
  EXPECT_GE(time_of_write(Mount(trouble.path(), "dsync"), 0), kDelay);
}

}  // namespace
}  // namespace alignfs::test
