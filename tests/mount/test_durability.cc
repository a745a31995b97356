// What is asked to be durable reaches the disk before the call returns, in every mode.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <functional>

#include "mount/support/fixture.h"
#include "mount/support/modes.h"

namespace alignfs::test {
namespace {

class Durability : public ModeTest {
 protected:
  void SetUp() override {
    ModeTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    backing_ = std::make_unique<Backing>(LoopDisk::Shape{});
    write_file(*backing_ / "file", pattern(16384, 1));
    mount(GetParam().options);
  }
  void mount(const std::string& options) {
    mount_.reset();
    mount_ = std::make_unique<Mount>(backing_->path(), options);
  }
  Fd opened(int flags) const { return open_file(*mount_ / "file", O_RDWR | flags); }
  unsigned long long flushes() const { return backing_->disk().flushes(); }

  std::unique_ptr<Backing> backing_;
  std::unique_ptr<Mount> mount_;
};

INSTANTIATE_TEST_SUITE_P(Modes, Durability, ::testing::ValuesIn(kLenientModes), mode_name);

TEST_P(Durability, SyncFlagsOfACallReachTheDisk) {
  const Fd fd = opened(0);
  ASSERT_EQ(fsync(fd.get()), 0);
  // The journal commits by itself every five seconds: a plain write now and then sees a flush that
  // is not its own, so the quiet case is tried until it was quiet.
  bool quiet = false;
  for (int attempt = 0; attempt < 50 && !quiet; ++attempt) {
    const auto before = flushes();
    ASSERT_EQ(pwrite(fd.get(), "plain", 5, 100), 5);
    quiet = flushes() == before;
  }
  EXPECT_TRUE(quiet) << "a plain write should not flush";
  for (const off_t offset : {off_t{0}, off_t{4096 + 100}}) {
    for (const int flag : {RWF_DSYNC, RWF_SYNC}) {
      AlignedBuffer buffer(4096);
      const iovec vector{buffer.data(), offset == 0 ? 4096u : 77u};
      const auto before = flushes();
      ASSERT_GT(pwritev2(fd.get(), &vector, 1, offset, flag), 0);
      EXPECT_GT(flushes(), before) << "flag " << flag << " offset " << offset;
    }
  }
}

TEST_P(Durability, SyncFlagsOfADescriptorReachTheDisk) {
  for (const int flag : {O_DSYNC, O_SYNC}) {
    const Fd fd = opened(flag);
    const auto before = flushes();
    ASSERT_EQ(pwrite(fd.get(), "synchronous", 11, 5000), 11);
    EXPECT_GT(flushes(), before) << "flag " << flag;
  }
}

TEST_P(Durability, TheOptionDsyncReachesTheDisk) {
  if (GetParam().passthrough) return;  // the two are refused together
  mount(GetParam().with("dsync"));
  const Fd fd = opened(0);
  for (const off_t offset : {5000, 5000, 16380, 4096}) {
    const auto before = flushes();
    ASSERT_EQ(pwrite(fd.get(), "synchronous", 11, offset), 11);
    EXPECT_GT(flushes(), before) << "offset " << offset;
  }
}

/// What else changes a file is as durable as a write of the same descriptor would be.
void copies_and_allocations_flush(const Fd& from, const Fd& fd,
                                  const std::function<unsigned long long()>& flushes) {
  auto before = flushes();
  ASSERT_EQ(fallocate(fd.get(), 0, 16384, 8192), 0);
  EXPECT_GT(flushes(), before) << "fallocate";
  for (const off_t at : {off_t{0}, off_t{4096}}) {
    off_t in = 0, out = at;
    before = flushes();
    ASSERT_EQ(copy_file_range(from.get(), &in, fd.get(), &out, 4096, 0), 4096);
    EXPECT_GT(flushes(), before) << "a copy to " << at;
  }
}

TEST_P(Durability, SyncFlagsOfADescriptorHoldForCopiesAndAllocations) {
  write_file(*backing_ / "from", pattern(4096, 2));
  for (const int flag : {O_DSYNC, O_SYNC}) {
    copies_and_allocations_flush(open_file(*mount_ / "from", O_RDONLY), opened(flag),
                                 [this] { return flushes(); });
  }
  if (GetParam().passthrough) return;
  mount(GetParam().with("dsync"));
  copies_and_allocations_flush(open_file(*mount_ / "from", O_RDONLY), opened(0),
                               [this] { return flushes(); });
}

TEST_P(Durability, SyncFlagsOfADescriptorHoldForClones) {
  const Backing xfs(LoopDisk::Shape{.filesystem = "xfs"});
  write_file(xfs / "from", pattern(4096, 2));
  write_file(xfs / "file", pattern(16384, 1));
  const Mount over(xfs.path(), GetParam().options);
  copies_and_allocations_flush(open_file(over / "from", O_RDONLY),
                               open_file(over / "file", O_RDWR | O_SYNC),
                               [&] { return xfs.disk().flushes(); });
}

TEST_P(Durability, FsyncReachesTheDisk) {
  const Fd fd = opened(0);
  // At the end of file, behind it, and twice in place: in a page that is clean, and in that again.
  for (const off_t offset : {16384, 20000, 100, 101}) {
    for (const bool data_only : {false, true}) {
      ASSERT_EQ(pwrite(fd.get(), "x", 1, offset), 1);
      const auto before = flushes();
      ASSERT_EQ(data_only ? fdatasync(fd.get()) : fsync(fd.get()), 0);
      EXPECT_GT(flushes(), before) << "offset " << offset << " data only " << data_only;
    }
  }
  const Fd directory = open_file(mount_->path(), O_RDONLY | O_DIRECTORY);
  EXPECT_EQ(fsync(directory.get()), 0);
}

TEST_P(Durability, MsyncAndFsyncOfAMapReachTheDisk) {
  const Fd fd = opened(0);
  void* const map = mmap(nullptr, 16384, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  ASSERT_NE(map, MAP_FAILED);
  for (const bool by_descriptor : {false, true}) {
    static_cast<char*>(map)[5000] = by_descriptor ? 'f' : 'm';
    const auto before = flushes();
    ASSERT_EQ(by_descriptor ? fsync(fd.get()) : msync(map, 16384, MS_SYNC), 0);
    EXPECT_GT(flushes(), before) << "by descriptor " << by_descriptor;
  }
  munmap(map, 16384);
}

}  // namespace
}  // namespace alignfs::test
