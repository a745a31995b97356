// Stores through a program's own map and writes beside them, as fast as both go. Each of these
// loads two processors: beside another test they take minutes.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <string>
#include <thread>

#include "mount/support/fixture.h"
#include "mount/support/meanwhile.h"
#include "mount/support/modes.h"

namespace alignfs::test {
namespace {

class StoresBesideWrites : public ModeTest, protected BackingAndMount {
 protected:
  void SetUp() override {
    MountTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    backing_ = std::make_unique<Backing>(LoopDisk::Shape{});
    mount_ = std::make_unique<Mount>(backing_->path(), GetParam().options);
  }
};

INSTANTIATE_TEST_SUITE_P(Modes, StoresBesideWrites, ::testing::ValuesIn(kEachWay), mode_name);

TEST_P(StoresBesideWrites, AStoreThroughAMappingIsNotUndoneByAWriteNextToIt) {
  write_file(mounted("file"), std::string(8192, '\0'));
  const Fd mapped = open_file(mounted("file"), O_RDWR);
  void* memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, mapped.get(), 0);
  ASSERT_NE(memory, MAP_FAILED);
  auto* cell = static_cast<volatile unsigned*>(memory);
  const Fd writer = open_file(mounted("file"), O_RDWR);
  long undone = 0;
  {
    const Meanwhile writes([&] {
      if (pwrite(writer.get(), "y", 1, 100) != 1) ADD_FAILURE() << "pwrite failed";
    });
    // Each value is looked at again only after many writes had the time to undo it.
    for (unsigned value = 1; value <= 3000; ++value) {
      *cell = value;
      for (int i = 0; i < 20; ++i) {
        std::this_thread::yield();
        undone += *cell != value;
      }
    }
  }
  munmap(memory, 4096);
  EXPECT_EQ(undone, 0);
}

TEST_P(StoresBesideWrites, AStoreIntoAPageThatWasNotCachedIsNotUndoneByAWriteNextToIt) {
  // A file that was once met in the middle is written in another way from then on: so, many files.
  for (int file = 0; file < 20; ++file) {
    const auto name = "file" + std::to_string(file);
    write_file(mounted(name), std::string(8192, '\0'));
    const Fd mapped = open_file(mounted(name), O_RDWR);
    void* memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, mapped.get(), 0);
    ASSERT_NE(memory, MAP_FAILED);
    auto* cell = static_cast<volatile unsigned*>(memory);
    const Fd writer = open_file(mounted(name), O_RDWR);
    const Fd behind = open_file(backing(name), O_RDONLY);
    long stores_lost = 0, writes_lost = 0, errors = 0;
    std::atomic<unsigned> written{0};
    {
      const Meanwhile writes([&] {
        const unsigned number = written + 1;
        unsigned found = 0;
        if (pwrite(writer.get(), &number, sizeof number, 100) != sizeof number ||
            pread(writer.get(), &found, sizeof found, 100) != sizeof found) {
          ADD_FAILURE() << "call failed: " << errno;
        }
        writes_lost += found != number;
        written = number;
        written.notify_one();
      });
      for (unsigned value = 1; value <= 500; ++value) {
        *cell = value;
        // The write that met it is over, and so is one that found the page in the cache.
        for (unsigned now = written, last = now + 2; now < last; now = written) written.wait(now);
        stores_lost += *cell != value;
        // So that the next write and the next store both find the page on the disk alone.
        errors += msync(memory, 4096, MS_SYNC) != 0;
        EXPECT_EQ(madvise(memory, 4096, MADV_DONTNEED), 0);
        EXPECT_EQ(posix_fadvise(behind.get(), 0, 4096, POSIX_FADV_DONTNEED), 0);
      }
    }
    munmap(memory, 4096);
    EXPECT_EQ(stores_lost, 0);
    EXPECT_EQ(writes_lost, 0);
    // The kernel reports EIO once where a direct write and a store meet in a page.
    EXPECT_LE(errors, 1);
  }
}

}  // namespace
}  // namespace alignfs::test
