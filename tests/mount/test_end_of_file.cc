// The traps of EOF, in every mode: every byte and every size must be those of a plain file.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "mount/support/fixture.h"
#include "mount/support/modes.h"

namespace alignfs::test {
namespace {

/// A 4K-native disk, where every unaligned request needs the daemon's help in direct mode.
class EndOfFile : public ModeTest, protected BackingAndMount {
 protected:
  void SetUp() override {
    MountTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    backing_ = std::make_unique<Backing>(LoopDisk::Shape{});
    mount_ = std::make_unique<Mount>(backing_->path(), GetParam().with("allow_other"));
  }
};

INSTANTIATE_TEST_SUITE_P(Modes, EndOfFile, ::testing::ValuesIn(kLenientModes), mode_name);

/// What pread() of a plain file of `content` gives.
std::string expected_read(const std::string& content, std::size_t offset, std::size_t length) {
  return offset >= content.size() ? "" : content.substr(offset, length);
}

TEST_P(EndOfFile, UnalignedReadsAroundEofGiveExactlyTheFile) {
  for (const std::size_t size : {0u, 1u, 511u, 512u, 513u, 4095u, 4096u, 4097u, 5000u, 12288u}) {
    const std::string content = pattern(size, size);
    const std::string name = "file-" + std::to_string(size);
    write_file(backing(name), content);
    for (const int flags : {0, GetParam().lenient_direct()}) {
      const Fd fd = open_file(mounted(name), O_RDONLY | flags);
      for (const std::size_t offset : {0u, 1u, 511u, 512u, 4000u, 4095u, 4096u, 4900u, 5001u}) {
        for (const std::size_t length : {1u, 100u, 512u, 4096u, 4097u, 9999u}) {
          AlignedBuffer buffer(length, 8);
          const ssize_t got = pread(fd.get(), buffer.data(), length, static_cast<off_t>(offset));
          ASSERT_GE(got, 0) << "errno " << errno;
          ASSERT_TRUE(same_bytes(buffer.text(static_cast<std::size_t>(got)),
                                 expected_read(content, offset, length)))
              << "size " << size << " offset " << offset << " length " << length;
        }
      }
    }
  }
}

TEST_P(EndOfFile, AlignedReadAcrossEofIsShortAndTheNextOneEmpty) {
  const std::string content = pattern(5000, 1);
  write_file(backing("file"), content);
  const Fd fd = open_file(mounted("file"), O_RDONLY | O_DIRECT);
  AlignedBuffer buffer(8192);
  ASSERT_EQ(pread(fd.get(), buffer.data(), 4096, 4096), 904);
  EXPECT_TRUE(same_bytes(buffer.text(904), content.substr(4096)));
  EXPECT_EQ(pread(fd.get(), buffer.data(), 8192, 0), 5000);
  EXPECT_EQ(pread(fd.get(), buffer.data(), 4096, 5000), 0);
  EXPECT_EQ(pread(fd.get(), buffer.data(), 4096, 8192), 0);
  EXPECT_EQ(pread(fd.get(), buffer.data(), 4096, off_t{1} << 40), 0);
}

TEST_P(EndOfFile, AppendsOfOddSizeAddUpByteByByte) {
  std::string content;
  const Fd fd = open_file(mounted("file"), O_WRONLY | O_CREAT | O_APPEND);
  for (unsigned i = 0; i < 400; ++i) {
    const std::string record = pattern(100, i);
    ASSERT_EQ(write(fd.get(), record.data(), record.size()), 100);
    content += record;
    ASSERT_EQ(size_of(backing("file")), static_cast<std::int64_t>(content.size()));
  }
  EXPECT_TRUE(same_bytes(read_file(backing("file")), content));
  EXPECT_TRUE(same_bytes(read_file(mounted("file")), content));
}

TEST_P(EndOfFile, AppendingDescriptorsDoNotOverwriteEachOther) {
  const Fd first = open_file(mounted("file"), O_WRONLY | O_CREAT | O_APPEND);
  const Fd second = open_file(mounted("file"), O_WRONLY | O_APPEND | GetParam().lenient_direct());
  std::string content;
  for (unsigned i = 0; i < 100; ++i) {
    const std::string record = pattern(37 + i % 13, i);
    const Fd& fd = i % 3 == 0 ? second : first;
    ASSERT_EQ(write(fd.get(), record.data(), record.size()), static_cast<ssize_t>(record.size()));
    content += record;
  }
  EXPECT_TRUE(same_bytes(read_file(backing("file")), content));
}

TEST_P(EndOfFile, AppendSparesWhatWasAppendedOutsideAMomentAgo) {
  write_file(backing("file"), "begin ");
  const Fd fd = open_file(mounted("file"), O_WRONLY | O_APPEND);
  struct stat status {};
  // The kernel now trusts this size for a second.
  ASSERT_EQ(fstat(fd.get(), &status), 0);
  ASSERT_EQ(status.st_size, 6);
  {
    const Fd outside = open_file(backing("file"), O_WRONLY | O_APPEND);
    ASSERT_EQ(write(outside.get(), "outside ", 8), 8);
  }
  ASSERT_EQ(write(fd.get(), "inside", 6), 6);
  EXPECT_TRUE(same_bytes(read_file(backing("file")), "begin outside inside"));
}

TEST_P(EndOfFile, AppendFlagSetByFcntlAppends) {
  write_file(backing("file"), pattern(5000, 1));
  const Fd fd = open_file(mounted("file"), O_WRONLY);
  ASSERT_EQ(fcntl(fd.get(), F_SETFL, O_APPEND), 0);
  ASSERT_EQ(write(fd.get(), "end", 3), 3);
  ASSERT_EQ(fcntl(fd.get(), F_SETFL, 0), 0);
  ASSERT_EQ(pwrite(fd.get(), "begin", 5, 0), 5);
  EXPECT_TRUE(same_bytes(read_file(backing("file")), "begin" + pattern(5000, 1).substr(5) + "end"));
}

TEST_P(EndOfFile, FileThatMayOnlyBeWrittenTakesUnalignedWrites) {
  std::string content = pattern(10000, 2);
  write_file(backing("file"), content);
  ASSERT_EQ(chown(backing("file").c_str(), 12345, 12345), 0);
  ASSERT_EQ(chmod(backing("file").c_str(), 0200), 0);
  EXPECT_EQ(as_user(12345, 12345, {},
                    [&] {
                      if (open(mounted("file").c_str(), O_RDONLY) >= 0 || errno != EACCES) return 1;
                      const Fd fd = open_file(mounted("file"), O_WRONLY);
                      if (pwrite(fd.get(), "in the middle", 13, 4090) != 13) return errno;
                      if (pwrite(fd.get(), "beyond the end", 14, 10100) != 14) return errno;
                      char byte;
                      return read(fd.get(), &byte, 1) < 0 && errno == EBADF ? 0 : 2;
                    }),
            0);
  content.replace(4090, 13, "in the middle");
  content += std::string(100, '\0') + "beyond the end";
  EXPECT_TRUE(same_bytes(read_file(backing("file")), content));
}

TEST_P(EndOfFile, WriteBeyondEofLeavesAHoleOfZeroes) {
  const std::string head = pattern(100, 3);
  const std::string tail = pattern(333, 4);
  write_file(backing("file"), head);
  const Fd fd = open_file(mounted("file"), O_RDWR);
  ASSERT_EQ(pwrite(fd.get(), tail.data(), tail.size(), 100'001), 333);
  const std::string content = head + std::string(100'001 - 100, '\0') + tail;
  EXPECT_TRUE(same_bytes(read_file(backing("file")), content));
  EXPECT_TRUE(same_bytes(read_file(mounted("file")), content));
  struct stat status {};
  ASSERT_EQ(stat(backing("file").c_str(), &status), 0);
  EXPECT_LE(status.st_blocks * 512, 16384) << "the hole was filled with blocks";
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_HOLE), 4096);
}

TEST_P(EndOfFile, WritesIntoAHoleChangeNothingElse) {
  {
    const Fd fd = open_file(backing("file"), O_RDWR | O_CREAT);
    ASSERT_EQ(ftruncate(fd.get(), 50'000), 0);
  }
  std::string content(50'000, '\0');
  const Fd fd = open_file(mounted("file"), O_RDWR);
  for (const std::size_t offset : {1u, 4095u, 12'287u, 20'000u, 49'990u}) {
    const std::string bytes = pattern(offset % 2 == 0 ? 9000 : 10, offset);
    ASSERT_EQ(pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)),
              static_cast<ssize_t>(bytes.size()));
    if (content.size() < offset + bytes.size()) content.resize(offset + bytes.size());
    content.replace(offset, bytes.size(), bytes);
  }
  EXPECT_TRUE(same_bytes(read_file(backing("file")), content));
  EXPECT_TRUE(same_bytes(read_file(mounted("file")), content));
}

TEST_P(EndOfFile, BytesCutOffByTruncateComeBackAsZeroes) {
  for (const bool through_mount : {true, false}) {
    const std::string name = through_mount ? "inside" : "outside";
    std::string content = pattern(20'000, 5);
    write_file(mounted(name), content);
    const std::string path = through_mount ? mounted(name) : backing(name);
    ASSERT_EQ(truncate(path.c_str(), 9001), 0);
    ASSERT_EQ(truncate(path.c_str(), 20'000), 0);
    content.replace(9001, 20'000 - 9001, 20'000 - 9001, '\0');
    EXPECT_TRUE(same_bytes(read_file(mounted(name)), content));
    EXPECT_TRUE(same_bytes(read_file(backing(name)), content));
  }
}

TEST_P(EndOfFile, WriteBeyondATruncatedTailShowsZeroesBetween) {
  std::string content = pattern(8192, 6);
  const Fd fd = open_file(mounted("file"), O_RDWR | O_CREAT);
  ASSERT_EQ(pwrite(fd.get(), content.data(), content.size(), 0), 8192);
  ASSERT_EQ(ftruncate(fd.get(), 4500), 0);
  ASSERT_EQ(pwrite(fd.get(), "end", 3, 8000), 3);
  content.resize(4500);
  content.resize(8000, '\0');
  content += "end";
  EXPECT_TRUE(same_bytes(read_file(mounted("file")), content));
  EXPECT_TRUE(same_bytes(read_file(backing("file")), content));
}

TEST_P(EndOfFile, TruncateByOpenEmptiesTheFile) {
  write_file(mounted("file"), pattern(6000, 7));
  const Fd fd = open_file(mounted("file"), O_RDWR | O_TRUNC);
  EXPECT_EQ(size_of(backing("file")), 0);
  ASSERT_EQ(pwrite(fd.get(), "x", 1, 4999), 1);
  EXPECT_TRUE(same_bytes(read_file(backing("file")), std::string(4999, '\0') + "x"));
}

}  // namespace
}  // namespace alignfs::test
