// Files larger than what anybody can map, up to the last byte that a file can have.

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "mount/support/fixture.h"
#include "mount/support/modes.h"

namespace alignfs::test {
namespace {

/// Kilobytes of the fields of /proc/PID/status: what the daemon holds, and what the kernel holds
/// for its address space.
std::uint64_t memory_of(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  std::uint64_t total = 0;
  for (std::string line; std::getline(status, line);) {
    for (const char* field : {"VmRSS:", "VmPTE:", "VmSwap:"}) {
      if (line.starts_with(field)) total += std::stoul(line.substr(std::strlen(field)));
    }
  }
  return total;
}

struct Case {
  Mode mode;
  const char* filesystem;
};

void PrintTo(const Case& one, std::ostream* out) { *out << one.mode.name << " " << one.filesystem; }

class HugeFile : public MountTest, public ::testing::WithParamInterface<Case> {
 protected:
  void SetUp() override {
    MountTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    backing_ = std::make_unique<Backing>(LoopDisk::Shape{.filesystem = GetParam().filesystem});
    mount_ = std::make_unique<Mount>(backing_->path(), GetParam().mode.options);
    fd_ = open_file(*mount_ / "file", O_RDWR | O_CREAT);
  }
  void TearDown() override {
    fd_.close();
    EXPECT_TRUE(!mount_ || kill(mount_->pid(), 0) == 0) << "the daemon is gone";
  }

  std::string read_at(off_t offset, std::size_t length) const {
    return try_pread(fd_, offset, length);
  }
  void write_at(off_t offset, const std::string& bytes) const {
    EXPECT_EQ(pwrite(fd_.get(), bytes.data(), bytes.size(), offset),
              static_cast<ssize_t>(bytes.size()))
        << "at " << offset << ", errno " << errno;
  }

  std::unique_ptr<Backing> backing_;
  std::unique_ptr<Mount> mount_;
  Fd fd_;
};

INSTANTIATE_TEST_SUITE_P(Modes, HugeFile,
                         ::testing::Values(Case{kMapped, "ext4"}, Case{kMapped, "xfs"},
                                           Case{kBuffered, "ext4"}, Case{kBuffered, "xfs"},
                                           Case{kBounce, "ext4"}, Case{kBounce, "xfs"}),
                         [](const auto& test) {
                           return std::string(test.param.mode.name) + "_" + test.param.filesystem;
                         });

constexpr off_t kTebibyte = off_t{1} << 40;
constexpr std::size_t kPiece = 20'000;

TEST_P(HugeFile, ASparseTebibyteIsReadWrittenAndCut) {
  const auto before = memory_of(mount_->pid());
  ASSERT_EQ(ftruncate(fd_.get(), kTebibyte), 0);
  const std::vector<off_t> places = {0, kTebibyte / 2 - 77, kTebibyte - off_t{kPiece}};
  for (const off_t place : places) {
    EXPECT_TRUE(same_bytes(read_at(place, kPiece), std::string(kPiece, '\0'))) << place;
    write_at(place, pattern(kPiece, static_cast<std::uint64_t>(place)));
  }
  const Fd inside = open_file(*backing_ / "file", O_RDONLY);
  for (const off_t place : places) {
    const auto written = pattern(kPiece, static_cast<std::uint64_t>(place));
    EXPECT_TRUE(same_bytes(read_at(place, kPiece), written)) << place;
    std::string bytes(kPiece, '\0');
    EXPECT_EQ(pread(inside.get(), bytes.data(), kPiece, place), ssize_t{kPiece});
    EXPECT_TRUE(same_bytes(bytes, written)) << place;
  }
  EXPECT_EQ(read_at(kTebibyte - 10, 100).size(), 10u);
  EXPECT_EQ(read_at(kTebibyte, 100), "");
  std::mt19937_64 random(1);
  for (int i = 0; i < 1000; ++i) {
    const auto place =
        static_cast<off_t>(kTebibyte / 2 + kPiece + random() % (kTebibyte / 2 - 3 * kPiece));
    ASSERT_EQ(read_at(place, 5), std::string(5, '\0')) << place;
  }
  write_at(kTebibyte + 5000, "behind the end");
  EXPECT_EQ(size_of(*backing_ / "file"), kTebibyte + 5014);
  ASSERT_EQ(ftruncate(fd_.get(), kTebibyte / 2), 0);
  EXPECT_EQ(read_at(kTebibyte / 2 - 77, 100).size(), 77u);
  EXPECT_EQ(read_at(kTebibyte - 100, 100), "");
  ASSERT_EQ(ftruncate(fd_.get(), kTebibyte), 0);
  EXPECT_TRUE(same_bytes(read_at(kTebibyte / 2, kPiece), std::string(kPiece, '\0')));
  EXPECT_TRUE(same_bytes(read_at(0, kPiece), pattern(kPiece, 0)));
  if (!sanitized()) {
    EXPECT_LT(memory_of(mount_->pid()), before + (64 << 10)) << "kilobytes";
  }
}

/// The address space that is set aside for mappings is not used up by one file.
TEST_P(HugeFile, OtherFilesAreMappedBesideIt) {
  if (!GetParam().mode.is_mapped()) return;
  ASSERT_EQ(ftruncate(fd_.get(), kTebibyte), 0);
  EXPECT_EQ(read_at(0, 5), std::string(5, '\0'));
  const auto content = pattern(100'000, 1);
  write_file(*backing_ / "other", content);
  Events events(mount_->path());
  events.skip();
  const Fd other = open_file(*mount_ / "other", O_RDWR);
  char byte = 0;
  EXPECT_EQ(pread(other.get(), &byte, 1, 0), 1);
  EXPECT_EQ(Stats(mount_->path()).gauge("alignfs_mappings"), 2);
  EXPECT_EQ(events.drain().size(), 0u) << "it fell back";
}

/// Where the mapping of a part ends, pread goes on within the same call.
TEST_P(HugeFile, AReadGoesOnWhereTheMappingEnds) {
  if (!GetParam().mode.is_mapped()) return;
  ASSERT_EQ(ftruncate(fd_.get(), 16 * kTebibyte - off_t{1 << 20}), 0);
  EXPECT_EQ(read_at(0, 5), std::string(5, '\0'));
  const auto edge = static_cast<off_t>(Stats(mount_->path()).gauge("alignfs_mapped_bytes"));
  ASSERT_LT(edge, 16 * kTebibyte - off_t{1 << 20}) << "it was to be mapped in part";
  write_at(edge - 3000, pattern(6000, 1));
  EXPECT_TRUE(same_bytes(read_at(edge - 3000, 6000), pattern(6000, 1)));
  EXPECT_TRUE(same_bytes(read_at(edge, 3000), pattern(6000, 1).substr(3000)));
}

TEST_P(HugeFile, TheLastByteAFileCanHaveIsReached) {
  // Found on the backing itself: the largest size that truncate takes.
  off_t least = kTebibyte, most = std::numeric_limits<off_t>::max();
  const auto name = *backing_ / "probe";
  write_file(name, "");
  while (least < most) {
    const off_t middle = least + (most - least) / 2 + (most - least) % 2;
    if (truncate(name.c_str(), middle) == 0) {
      least = middle;
    } else {
      most = middle - 1;
    }
  }
  write_at(least - 3, "end");
  EXPECT_EQ(size_of(*backing_ / "file"), least);
  EXPECT_EQ(read_at(least - 3, 3), "end");
  EXPECT_EQ(read_at(least - 5003, 5003), std::string(5000, '\0') + "end");
  write_at(least - 5000, "within");
  EXPECT_EQ(read_at(least - 5000, 6), "within");
  EXPECT_EQ(read_at(0, 5), std::string(5, '\0'));
  if (least < std::numeric_limits<off_t>::max()) {
    EXPECT_EQ(pwrite(fd_.get(), "x", 1, least), -1);
    EXPECT_EQ(errno, EFBIG);
  }
  ASSERT_EQ(ftruncate(fd_.get(), 0), 0);
  EXPECT_EQ(read_at(0, 5), "");
}

}  // namespace
}  // namespace alignfs::test
