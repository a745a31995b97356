// What fsync and its kin acknowledge is on the disk: the bytes, and a flush of the disk's cache.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <memory>
#include <system_error>

#include "mount/support/extents.h"
#include "mount/support/fixture.h"
#include "mount/support/modes.h"

namespace alignfs::test {
namespace {

constexpr std::size_t kSize = 64 << 10;

/// Bytes of the file as the disk has them, whatever the page cache of the file holds; '?' where the
/// file has no block on the disk. The range must be aligned to 4096.
std::string on_disk(const LoopDisk& disk, const std::string& path, std::uint64_t offset,
                    std::size_t length) {
  const Fd device = open_file("/dev/" + disk.device(), O_RDONLY | O_DIRECT);
  std::string bytes(length, '?');
  for (const fiemap_extent& extent : extents_of(path, offset, length)) {
    if ((extent.fe_flags & (FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_UNWRITTEN)) != 0) continue;
    const auto begin = std::max<std::uint64_t>(extent.fe_logical, offset);
    const auto end = std::min<std::uint64_t>(extent.fe_logical + extent.fe_length, offset + length);
    const auto place = extent.fe_physical + (begin - extent.fe_logical);
    const AlignedBuffer buffer(end - begin);
    if (pread(device.get(), buffer.data(), end - begin, off_t(place)) != ssize_t(end - begin)) {
      throw std::system_error(errno, std::generic_category(), "read the disk");
    }
    bytes.replace(begin - offset, end - begin, buffer.view(end - begin));
  }
  return bytes;
}

class OnMedia : public MountTest,
                public ::testing::WithParamInterface<Mode>,
                protected BackingAndMount {
 protected:
  void SetUp() override {
    MountTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    backing_ = std::make_unique<Backing>(LoopDisk::Shape{});
    write_file(backing("file"), content_);
  }
  void mount(const std::string& more_options = "") {
    mount_.reset();
    mount_ =
        std::make_unique<Mount>(backing_->path(), std::string(GetParam().options) + more_options);
  }
  const LoopDisk& disk() const { return backing_->disk(); }

  /// A file open on the mount whose pages are dirty, so that a store to them asks nobody.
  Fd open_dirty(int flags = 0) {
    Fd fd = open_file(mounted("file"), O_RDWR);
    for (std::size_t at = 0; at < kSize; at += 4096) put(fd, at + 7, 100);
    return flags == 0 ? std::move(fd) : open_file(mounted("file"), O_RDWR | flags);
  }
  /// Writes new bytes, and expects that they are all written.
  void put(const Fd& fd, std::size_t offset, std::size_t length, int flags = 0) {
    const auto bytes = pattern(length, ++writes_);
    content_.replace(offset, length, bytes);
    const iovec part{const_cast<char*>(bytes.data()), length};
    EXPECT_EQ(pwritev2(fd.get(), &part, 1, static_cast<off_t>(offset), flags), ssize_t(length));
  }

  /// Calls `action`, and expects what was written to be on the disk afterwards, flushed.
  void expect_durable(const std::string& what, const std::function<void()>& action,
                      std::size_t offset = 0, std::size_t length = kSize) {
    const auto before = disk().flushes();
    action();
    EXPECT_GT(disk().flushes(), before) << what << " did not flush";
    EXPECT_TRUE(same_bytes(on_disk(disk(), backing("file"), offset, length),
                           content_.substr(offset, length)))
        << what;
  }

  std::string content_ = pattern(kSize, 0);

 private:
  unsigned writes_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Modes, OnMedia, ::testing::Values(kMapped, kBuffered, kBounce), mode_name);

TEST_P(OnMedia, APlainWriteFlushesNothing) {
  mount();
  const Fd fd = open_dirty();
  ASSERT_EQ(fsync(fd.get()), 0);
  // The journal commits by itself now and then: tried until it did not.
  bool quiet = false;
  for (int attempt = 0; attempt < 50 && !quiet; ++attempt) {
    const auto before = disk().flushes();
    for (int i = 0; i < 10; ++i) put(fd, 5000, 5);
    quiet = disk().flushes() == before;
  }
  EXPECT_TRUE(quiet);
}

TEST_P(OnMedia, FsyncAndFdatasync) {
  mount();
  const Fd fd = open_dirty();
  expect_durable("fsync", [&] { EXPECT_EQ(fsync(fd.get()), 0); });
  open_dirty();
  expect_durable("fdatasync", [&] { EXPECT_EQ(fdatasync(fd.get()), 0); });
  // A descriptor that has written nothing speaks for the file.
  open_dirty();
  const Fd other = open_file(mounted("file"), O_RDONLY);
  expect_durable("fsync of a reader", [&] { EXPECT_EQ(fsync(other.get()), 0); });
}

TEST_P(OnMedia, FsyncOfAFileThatGrew) {
  mount();
  const Fd fd = open_file(mounted("new"), O_RDWR | O_CREAT);
  for (unsigned i = 0; i < 10; ++i) {
    const auto bytes = pattern(5000, i);
    ASSERT_EQ(pwrite(fd.get(), bytes.data(), 5000, i * 5000), 5000);
    ASSERT_EQ(pwrite(fd.get(), bytes.data(), 300, i * 4000), 300);
  }
  const auto before = disk().flushes();
  EXPECT_EQ(fsync(fd.get()), 0);
  EXPECT_GT(disk().flushes(), before);
  EXPECT_TRUE(same_bytes(on_disk(disk(), backing("new"), 0, 49'152),
                         read_file(backing("new")).substr(0, 49'152)));
}

TEST_P(OnMedia, WritesThatAskForIt) {
  mount();
  for (const int flag : {RWF_DSYNC, RWF_SYNC}) {
    const Fd fd = open_dirty();
    expect_durable(
        "a write with flag " + std::to_string(flag), [&] { put(fd, 4096 + 100, 77, flag); }, 4096,
        4096);
    expect_durable(
        "a large write with flag " + std::to_string(flag),
        [&] { put(fd, 8192 + 100, 20'000, flag); }, 8192, 20'480);
  }
  for (const int flag : {O_DSYNC, O_SYNC}) {
    const Fd fd = open_dirty(flag);
    expect_durable(
        "a write by a descriptor opened with " + std::to_string(flag),
        [&] { put(fd, 4096 + 100, 77); }, 4096, 4096);
  }
}

TEST_P(OnMedia, EveryWriteOfAMountWithDsync) {
  mount(",dsync");
  const Fd fd = open_file(mounted("file"), O_RDWR);
  for (const std::size_t offset : {100u, 5000u, 5000u, 30'000u}) {
    const auto page = offset / 4096 * 4096;
    expect_durable(
        "a write at " + std::to_string(offset), [&] { put(fd, offset, 600); }, page, 4096);
  }
}

TEST_P(OnMedia, Msync) {
  mount();
  const Fd fd = open_dirty();
  ASSERT_EQ(fsync(fd.get()), 0);
  void* const map = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  ASSERT_NE(map, MAP_FAILED);
  for (const std::size_t offset : {10u, 20'000u, 60'000u}) {
    const auto bytes = pattern(500, offset);
    content_.replace(offset, 500, bytes);
    std::copy(bytes.begin(), bytes.end(), static_cast<char*>(map) + offset);
  }
  expect_durable("msync", [&] { EXPECT_EQ(msync(map, kSize, MS_SYNC), 0); });
  munmap(map, kSize);
}

}  // namespace
}  // namespace alignfs::test
