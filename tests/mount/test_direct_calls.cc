// How single calls go down in direct mode: fragments, flags of the moment, and the page cache left
// alone.

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

#include "mount/support/fixture.h"

namespace alignfs::test {
namespace {

constexpr std::size_t kMiB = 1 << 20;

class DirectCalls : public MountTest, protected BackingAndMount {
 protected:
  void SetUp() override {
    MountTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    backing_ = std::make_unique<Backing>(LoopDisk::Shape{});
  }
  void mount(const std::string& options) {
    mount_ = std::make_unique<Mount>(backing_->path(), options);
  }
  double backing_read_bytes(const std::string& operation) const {
    return Stats(mount_->path()).sum("alignfs_backing_read_bytes_total", operation);
  }
  double requests_counted(const std::string& operation) const {
    return Stats(mount_->path()).sum("alignfs_requests_total", operation);
  }
  double backing_write_bytes(const std::string& operation) const {
    return Stats(mount_->path()).sum("alignfs_backing_write_bytes_total", operation);
  }
};

/// Bytes of `path` that the page cache holds; cachestat(2) is in no libc yet.
std::uint64_t cached_bytes(const std::string& path) {
  struct {
    std::uint64_t offset, length;
  } range{0, 0};
  struct {
    std::uint64_t cached, dirty, writeback, evicted, recently_evicted;
  } result{};
  constexpr long kCachestat = 451;
  const Fd fd = open_file(path, O_RDONLY);
  if (syscall(kCachestat, fd.get(), &range, &result, 0) != 0) {
    throw std::system_error(errno, std::generic_category(), "cachestat");
  }
  return result.cached * 4096;
}

TEST_F(DirectCalls, FragmentsOfABufferOffThePageCauseNoReadModifyWrite) {
  mount("unaligned=bounce");
  for (const std::size_t excess : {0u, 16u, 512u, 4095u}) {
    for (const std::size_t length : {kMiB, 3 * kMiB}) {
      const std::string name = std::to_string(excess) + "-" + std::to_string(length);
      AlignedBuffer buffer(length, excess);
      buffer.fill(pattern(length, excess + length));
      const Fd fd = open_file(mounted(name), O_RDWR | O_CREAT | O_DIRECT);
      const double read_before = backing_read_bytes("write");
      const double written_before = backing_write_bytes("write");
      ASSERT_EQ(pwrite(fd.get(), buffer.data(), length, 4096), static_cast<ssize_t>(length));
      EXPECT_EQ(backing_read_bytes("write"), read_before) << name;
      EXPECT_EQ(backing_write_bytes("write") - written_before, static_cast<double>(length)) << name;
      EXPECT_TRUE(
          same_bytes(read_file(backing(name)), std::string(4096, '\0') + buffer.text(length)));
    }
  }
}

TEST_F(DirectCalls, AReadIsNotCutMoreThanItsBufferAsksFor) {
  mount("unaligned=bounce");
  const std::string content = pattern(4 * kMiB, 1);
  write_file(backing("file"), content);
  Events events(mount_->path());
  const Fd fd = open_file(mounted("file"), O_RDONLY | O_DIRECT);
  for (const std::size_t excess : {0u, 512u, 1024u, 3584u}) {
    for (const std::size_t length : {kMiB, 3 * kMiB}) {
      AlignedBuffer buffer(length, excess);
      const double before = backing_read_bytes("read");
      const double requests = requests_counted("read");
      ASSERT_EQ(pread(fd.get(), buffer.data(), length, 8192), static_cast<ssize_t>(length));
      EXPECT_TRUE(same_bytes(buffer.text(length), content.substr(8192, length)));
      // A request a MiB; where the buffer lies across one page more, the rest is one more, and the
      // block that a cut went through is read twice.
      const double mib = double(length / kMiB);
      const double cuts = excess == 0 ? 0 : mib;
      EXPECT_EQ(requests_counted("read") - requests, mib + (excess != 0))
          << "buffer +" << excess << " length " << length;
      EXPECT_EQ(backing_read_bytes("read") - before, double(length) + cuts * 4096)
          << "buffer +" << excess << " length " << length;
    }
  }
  EXPECT_TRUE(events.drain().empty()) << "the calls were legal";
}

TEST_F(DirectCalls, StrictMountAcceptsFragmentsOfALegalCall) {
  mount("unaligned=reject");
  Events events(mount_->path());
  const Fd fd = open_file(mounted("file"), O_RDWR | O_CREAT | O_DIRECT);
  for (const std::size_t length : {kMiB, 3 * kMiB}) {
    AlignedBuffer buffer(length, 512);
    buffer.fill(pattern(length, length));
    ASSERT_EQ(pwrite(fd.get(), buffer.data(), length, 4096), static_cast<ssize_t>(length));
    AlignedBuffer back(length, 1024);
    ASSERT_EQ(pread(fd.get(), back.data(), length, 4096), static_cast<ssize_t>(length));
    EXPECT_TRUE(same_bytes(back.text(length), buffer.text(length)));
  }
  EXPECT_TRUE(events.drain().empty());
}

TEST_F(DirectCalls, PageCacheOfTheBackingStaysEmpty) {
  mount("unaligned=bounce");
  AlignedBuffer buffer(kMiB);
  buffer.fill(pattern(kMiB, 1));
  const Fd fd = open_file(mounted("file"), O_RDWR | O_CREAT);
  ASSERT_EQ(pwrite(fd.get(), buffer.data(), kMiB, 0), static_cast<ssize_t>(kMiB));
  ASSERT_EQ(pwrite(fd.get(), "inside", 6, 5000), 6);
  ASSERT_EQ(pread(fd.get(), buffer.data(), 100'000, 77), 100'000);
  EXPECT_EQ(cached_bytes(backing("file")), 0u);
  EXPECT_EQ(cached_bytes(mounted("file")), 0u);
}

TEST_F(DirectCalls, SplitKeepsTheMiddleOutOfThePageCache) {
  mount("unaligned=split");
  const std::string bytes = pattern(kMiB, 2);
  {
    const Fd fd = open_file(backing("file"), O_RDWR | O_CREAT);
    ASSERT_EQ(ftruncate(fd.get(), 2 * kMiB), 0);
  }
  const Fd fd = open_file(mounted("file"), O_RDWR);
  ASSERT_EQ(pwrite(fd.get(), bytes.data(), kMiB, 100), static_cast<ssize_t>(kMiB));
  // Two ragged ends, and the page in which the kernel cuts the call in two.
  EXPECT_LE(cached_bytes(backing("file")), 3 * 4096u);
  EXPECT_TRUE(same_bytes(read_file(backing("file")).substr(100, kMiB), bytes));
}

TEST_F(DirectCalls, TogglingODirectTogglesTheJudgement) {
  mount("unaligned=reject,enforce=odirect");
  write_file(backing("file"), pattern(8192, 1));
  const Fd fd = open_file(mounted("file"), O_RDWR);
  EXPECT_EQ(pwrite(fd.get(), "abc", 3, 10), 3);
  ASSERT_EQ(fcntl(fd.get(), F_SETFL, O_DIRECT), 0);
  EXPECT_EQ(pwrite(fd.get(), "def", 3, 10), -1);
  EXPECT_EQ(errno, EINVAL);
  ASSERT_EQ(fcntl(fd.get(), F_SETFL, 0), 0);
  EXPECT_EQ(pwrite(fd.get(), "ghi", 3, 13), 3);
  EXPECT_TRUE(same_bytes(read_file(backing("file")).substr(10, 6), "abcghi"));
}

}  // namespace
}  // namespace alignfs::test
