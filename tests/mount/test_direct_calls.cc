// How single calls go down in direct mode: fragments, flags of the moment, and the page cache left
// alone.

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>
#include <vector>

#include "mount/support/fixture.h"
#include "mount/support/page_cache.h"

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
  double page_cache_bytes(const std::string& operation) const {
    return Stats(mount_->path()).sum("alignfs_backing_page_cache_bytes_total", operation);
  }
  double requests_counted(const std::string& operation) const {
    return Stats(mount_->path()).sum("alignfs_requests_total", operation);
  }
  double backing_write_bytes(const std::string& operation) const {
    return Stats(mount_->path()).sum("alignfs_backing_write_bytes_total", operation);
  }
};

std::uint64_t cached_bytes(const std::string& path) { return page_cache_of(path).cached * 4096; }

std::uint64_t pages_to_be_written(const std::string& path) {
  const auto pages = page_cache_of(path);
  return pages.dirty + pages.writeback;
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

TEST_F(DirectCalls, ALargeReadIsCutOncePerMebibyteAndBetweenBlocks) {
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
      EXPECT_EQ(requests_counted("read") - requests, double(length / kMiB))
          << "buffer +" << excess << " length " << length;
      EXPECT_EQ(backing_read_bytes("read") - before, double(length))
          << "buffer +" << excess << " length " << length;
    }
  }
  EXPECT_TRUE(events.drain().empty()) << "the calls were legal";
}

/// A direct read would write such pages out before it read them: a disk write for each small file
/// that a program has made and looks at.
TEST_F(DirectCalls, AnUnalignedReadOfPagesThatAreYetToBeWrittenLeavesThemSo) {
  mount("unaligned=bounce");
  const auto content = pattern(9000, 1);
  const Fd outside = open_file(backing("file"), O_RDWR | O_CREAT);
  ASSERT_EQ(pwrite(outside.get(), content.data(), 9000, 0), 9000);
  const Fd fd = open_file(mounted("file"), O_RDWR);
  ASSERT_EQ(pages_to_be_written(backing("file")), 3u);
  EXPECT_EQ(try_pread(fd, 100, 8000), content.substr(100, 8000));
  EXPECT_EQ(try_pread(fd, 8500, 700), content.substr(8500)) << "up to the end of the file";
  EXPECT_EQ(pages_to_be_written(backing("file")), 3u);
  const double read_before = backing_read_bytes("read");
  EXPECT_EQ(read_before, 8000 + 500) << "no block was widened";

  ASSERT_EQ(fsync(fd.get()), 0);
  EXPECT_EQ(try_pread(fd, 100, 8000), content.substr(100, 8000));
  EXPECT_EQ(backing_read_bytes("read") - read_before, 8192) << "what the disk has comes from there";
}

/// As a small write or an append leaves a file: whole blocks on the disk, the rest in the page
/// cache.
TEST_F(DirectCalls, AnEndThatIsYetToBeWrittenIsReadWhereItIs) {
  mount("unaligned=bounce");
  const auto content = pattern(15'000, 1);
  const Fd fd = open_file(mounted("file"), O_RDWR | O_CREAT);
  for (const std::size_t end : {9000u, 15'000u}) {
    const auto begin = end == 9000 ? 0 : std::size_t{9000};
    ASSERT_EQ(pwrite(fd.get(), &content[begin], end - begin, off_t(begin)), ssize_t(end - begin));
    const auto waiting = end == 9000 ? 1u : 2u;
    ASSERT_EQ(pages_to_be_written(backing("file")), waiting);
    const struct {
      off_t offset;
      std::size_t length;
    } reads[] = {{0, end}, {100, 20'000}, {5000, 20'000}, {8000, 500}};
    for (const auto& [offset, length] : reads) {
      const auto wanted = content.substr(0, end).substr(std::size_t(offset), length);
      const double read = backing_read_bytes("read");
      const double cached = page_cache_bytes("read");
      EXPECT_TRUE(same_bytes(try_pread(fd, offset, length), wanted));
      const auto to = std::size_t(offset) + wanted.size();
      EXPECT_EQ(backing_read_bytes("read") - read, double(to - std::size_t(offset) / 4096 * 4096));
      EXPECT_EQ(page_cache_bytes("read") - cached, double(to - 8192));
    }
    EXPECT_EQ(pages_to_be_written(backing("file")), waiting);
    EXPECT_EQ(cached_bytes(backing("file")), waiting * 4096)
        << "what is on the disk was read there";
  }
}

/// A direct read has the kernel write such pages first. To read them in the page cache would mean
/// to read what lies around them there as well, and to leave it there.
TEST_F(DirectCalls, OtherPagesThatAreYetToBeWrittenAreReadFromTheDisk) {
  mount("unaligned=bounce");
  const auto content = pattern(30'000, 1);
  const Fd fd = open_file(mounted("file"), O_RDWR | O_CREAT);
  ASSERT_EQ(pwrite(fd.get(), content.data(), 30'000, 0), 30'000);
  const Fd outside = open_file(backing("file"), O_RDWR);
  ASSERT_EQ(pwrite(outside.get(), &content[10'000], 300, 10'000), 300);
  ASSERT_EQ(pages_to_be_written(backing("file")), 2u);
  EXPECT_TRUE(same_bytes(try_pread(fd, 5000, 10'000), content.substr(5000, 10'000)));
  EXPECT_EQ(pages_to_be_written(backing("file")), 1u) << "the end of the file still waits";
  ASSERT_EQ(pwrite(outside.get(), &content[10'000], 300, 10'000), 300);
  EXPECT_TRUE(same_bytes(try_pread(fd, 5000, 25'000), content.substr(5000)));
  EXPECT_EQ(pages_to_be_written(backing("file")), 0u);
}

/// Both parts of a write go down in ascending order.
TEST_F(DirectCalls, TheEndOfAWriteIsNotSeenWithoutItsBeginning) {
  mount("unaligned=bounce");
  constexpr std::size_t kSize = 9000;
  const auto content = [](std::uint64_t number) {
    std::vector<std::uint64_t> numbers(kSize / sizeof number, number);
    return numbers;
  };
  const Fd fd = open_file(mounted("file"), O_RDWR | O_CREAT);
  ASSERT_EQ(pwrite(fd.get(), content(0).data(), kSize, 0), ssize_t(kSize));
  std::atomic<bool> over{false};
  std::jthread writer([&] {
    for (std::uint64_t number = 1; !over; ++number) {
      EXPECT_EQ(pwrite(fd.get(), content(number).data(), kSize, 0), ssize_t(kSize));
    }
  });
  auto seen = content(0);
  for (int i = 0; i < 5000 && !over; ++i) {
    EXPECT_EQ(pread(fd.get(), seen.data(), kSize, 0), ssize_t(kSize));
    if (seen.front() < seen.back()) over = true;
  }
  EXPECT_FALSE(over) << seen.front() << " begins, " << seen.back() << " ends it";
  over = true;
}

TEST_F(DirectCalls, RequireDirectReadsThemFromTheDisk) {
  mount("unaligned=bounce,require_direct");
  const auto content = pattern(9000, 1);
  const Fd outside = open_file(backing("file"), O_RDWR | O_CREAT);
  ASSERT_EQ(pwrite(outside.get(), content.data(), 9000, 0), 9000);
  EXPECT_TRUE(same_bytes(try_pread(open_file(mounted("file"), O_RDONLY), 100, 8000),
                         content.substr(100, 8000)));
  EXPECT_EQ(backing_read_bytes("read"), 8192);
}

/// What reads of both kinds return beside a store of the moment, and a page that is clean.
TEST_F(DirectCalls, UnalignedReadsAreTheSameWhereverTheBytesAre) {
  mount("unaligned=bounce");
  auto content = pattern(16'100, 1);
  write_file(backing("file"), content);
  const Fd fd = open_file(mounted("file"), O_RDWR);
  const Fd outside = open_file(backing("file"), O_RDWR);
  for (unsigned round = 0; round < 50; ++round) {
    const off_t offset = off_t(round * 331 % 16'000);
    const auto bytes = pattern(300, 100 + round);
    ASSERT_EQ(pwrite(outside.get(), bytes.data(), 300, offset), 300) << "dirty pages";
    content.replace(std::size_t(offset), 300, bytes);
    ASSERT_EQ(round % 3 == 0 ? fdatasync(outside.get()) : 0, 0);
    for (const off_t at : {offset, offset / 2}) {
      ASSERT_TRUE(same_bytes(try_pread(fd, at, 5001), content.substr(std::size_t(at), 5001)));
    }
  }
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
