// What makes a mode: which way the bytes go, what the mount says of it, and the times of files.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "mount/support/fixture.h"
#include "mount/support/modes.h"

namespace alignfs::test {
namespace {

constexpr std::size_t kSize = 3 * 4096;

class Modes : public ModeTest {
 protected:
  void SetUp() override {
    ModeTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    backing_ = std::make_unique<Backing>(LoopDisk::Shape{});
    write_file(*backing_ / "file", pattern(kSize, 1));
    mount_ = std::make_unique<Mount>(backing_->path(), GetParam().options);
  }
  std::string file() const { return *mount_ / "file"; }
  double requests(const std::string& operation) const {
    return Stats(mount_->path()).sum("alignfs_requests_total", operation);
  }
  /// True if the daemon has the backing file mapped.
  bool mapped_by_daemon() const {
    return read_file("/proc/" + std::to_string(mount_->pid()) + "/maps").find(*backing_ / "file") !=
           std::string::npos;
  }

  std::unique_ptr<Backing> backing_;
  std::unique_ptr<Mount> mount_;
};

INSTANTIATE_TEST_SUITE_P(Every, Modes, ::testing::ValuesIn(kEveryMode), mode_name);

TEST_P(Modes, IsTold) {
  const Fd fd = open_file(file(), O_RDWR);
  const std::string options(GetParam().options);
  const std::string mode = options.starts_with("mode=mapped")     ? "mapped"
                           : options.starts_with("mode=buffered") ? "buffered"
                                                                  : "direct";
  EXPECT_EQ(get_xattr(file(), "user.alignfs.mode"), GetParam().passthrough ? "passthrough" : mode);
  const std::string told = read_file(*mount_ / ".alignfs/options");
  EXPECT_NE(told.find("\nmode=" + mode + "\n"), std::string::npos) << told;
  EXPECT_EQ(told.find("passthrough.effective=on") != std::string::npos, GetParam().passthrough);
}

TEST_P(Modes, DecidesWhichWayTheBytesGo) {
  AlignedBuffer buffer(kSize);
  {
    const Fd fd = open_file(file(), O_RDWR);
    for (int i = 0; i < 10; ++i) {
      ASSERT_EQ(pwrite(fd.get(), buffer.data(), 4096, 4096), 4096);
      ASSERT_EQ(pread(fd.get(), buffer.data(), kSize, 0), ssize_t(kSize));
    }
    if (!GetParam().passthrough) {
      EXPECT_EQ(mapped_by_daemon(), GetParam().name == std::string(kMapped.name));
    }
  }
  const double expected = GetParam().passthrough ? 0 : 10;
  EXPECT_EQ(requests("read"), expected);
  EXPECT_EQ(requests("write"), expected);
  const Stats stats(mount_->path());
  for (const char* other : {"fallback", "bounced", "split", "rejected", "error"}) {
    EXPECT_EQ(stats.value("alignfs_requests_total", "read", other), 0) << other;
    EXPECT_EQ(stats.value("alignfs_requests_total", "write", other), 0) << other;
  }
}

struct Times {
  timespec modified, changed;
};

Times times_of(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) throw std::system_error(errno, std::generic_category());
  return {status.st_mtim, status.st_ctim};
}

bool later(const timespec& one, const timespec& other) {
  return std::pair(one.tv_sec, one.tv_nsec) > std::pair(other.tv_sec, other.tv_nsec);
}

/// Longer than a tick of the clock that timestamps are taken from.
void wait_for_a_tick() { std::this_thread::sleep_for(std::chrono::milliseconds(12)); }

/// Writes again and again to one page, dirty ever since the first time: nothing but the write
/// itself can move the times.
TEST_P(Modes, TimesMoveWithEveryWrite) {
  AlignedBuffer buffer(4096);
  const Fd fd = open_file(file(), O_RDWR);
  for (const bool through_mount : {false, true}) {
    const std::string seen_at = through_mount ? file() : *backing_ / "file";
    Times before = times_of(seen_at);
    for (int i = 0; i < 10; ++i) {
      wait_for_a_tick();
      ASSERT_EQ(pwrite(fd.get(), buffer.data(), 4096, 4096), 4096);
      const Times after = times_of(seen_at);
      EXPECT_TRUE(later(after.modified, before.modified)) << seen_at << ", write " << i;
      EXPECT_TRUE(later(after.changed, before.changed)) << seen_at << ", write " << i;
      before = after;
    }
  }
}

/// Backup programs read so, and look at the access time of others afterwards.
TEST_P(Modes, ReadsByNoatimeLeaveTheAccessTime) {
  constexpr timespec kLongAgo[] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
  const AlignedBuffer buffer(4096);
  const auto access_time_after_reading = [&](int flags) {
    EXPECT_EQ(utimensat(AT_FDCWD, (*backing_ / "file").c_str(), kLongAgo, 0), 0);
    const Fd fd = open_file(file(), O_RDONLY | flags);
    EXPECT_EQ(pread(fd.get(), buffer.data(), 4096, 0), 4096);
    struct stat status {};
    EXPECT_EQ(stat((*backing_ / "file").c_str(), &status), 0);
    return status.st_atim.tv_sec;
  };
  EXPECT_EQ(access_time_after_reading(O_NOATIME), kLongAgo[0].tv_sec);
  EXPECT_GT(access_time_after_reading(0), kLongAgo[0].tv_sec);
}

TEST_P(Modes, TimesThatWereSetMoveWithTheNextWrite) {
  AlignedBuffer buffer(4096);
  const Fd fd = open_file(file(), O_RDWR);
  for (int i = 0; i < 20; ++i) {
    // At once, so that the write before and the one behind mostly meet in one tick.
    ASSERT_EQ(pwrite(fd.get(), buffer.data(), 4096, 4096), 4096);
    const timespec past[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
    ASSERT_EQ(futimens(fd.get(), past), 0);
    EXPECT_EQ(times_of(*backing_ / "file").modified.tv_sec, 1'000'000'000);
    ASSERT_EQ(pwrite(fd.get(), buffer.data(), 4096, 4096), 4096);
    ASSERT_GT(times_of(*backing_ / "file").modified.tv_sec, 1'700'000'000) << "write " << i;
    ASSERT_GT(times_of(file()).modified.tv_sec, 1'700'000'000) << "write " << i;
  }
}

}  // namespace
}  // namespace alignfs::test
