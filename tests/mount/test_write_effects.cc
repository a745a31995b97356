// What a write does besides its bytes: times move, privileges end. A store through a mapping does
// neither by itself.

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <memory>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

#include "mount/support/fixture.h"
#include "mount/support/modes.h"

namespace alignfs::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr uid_t kStranger = 12345;
/// Longer than any tick of the kernel's clock.
constexpr milliseconds kTick{12};

std::int64_t nanoseconds(const timespec& time) {
  return std::int64_t(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

struct Times {
  std::int64_t mtime, ctime;
};

struct stat status_of(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) {
    throw std::system_error(errno, std::generic_category(), "stat " + path);
  }
  return status;
}

Times times_of(const std::string& path) {
  const auto status = status_of(path);
  return {nanoseconds(status.st_mtim), nanoseconds(status.st_ctim)};
}

std::int64_t clock_of_the_kernel() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return nanoseconds(now);
}

class WriteEffects : public MountTest,
                     public ::testing::WithParamInterface<Mode>,
                     protected BackingAndMount {
 protected:
  void SetUp() override {
    MountTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    backing_ = std::make_unique<Backing>(LoopDisk::Shape{});
    mount_ =
        std::make_unique<Mount>(backing_->path(), std::string("allow_other,") + GetParam().options);
    write_file(backing("file"), pattern(16'384, 1));
    fd_ = open_file(mounted("file"), O_RDWR);
  }
  void TearDown() override { fd_.close(); }

  /// A byte into a page that is dirty after the first time.
  void write_once() { EXPECT_EQ(pwrite(fd_.get(), "x", 1, 4096 + number_++ % 4096), 1); }

  /// Linux 6.13 and later give a change its own time where somebody has looked since the last one;
  /// elsewhere the times of one tick are the same, on the backing too.
  void wait_where_times_are_coarse() {
    if (!fine_) {
      const Fd fd = open_file(backing("probe"), O_RDWR | O_CREAT);
      fine_ = true;
      for (int i = 0; i < 20; ++i) {
        const auto before = times_of(backing("probe"));
        EXPECT_EQ(pwrite(fd.get(), "x", 1, 0), 1);
        if (times_of(backing("probe")).mtime == before.mtime) fine_ = false;
      }
    }
    if (!*fine_) std::this_thread::sleep_for(kTick);
  }

  Fd fd_;

 private:
  off_t number_ = 0;
  std::optional<bool> fine_;
};

INSTANTIATE_TEST_SUITE_P(Modes, WriteEffects, ::testing::Values(kMapped, kBuffered, kBounce),
                         mode_name);

TEST_P(WriteEffects, TimesMoveBetweenTwoLooks) {
  write_once();
  auto last = times_of(mounted("file"));
  for (int i = 0; i < 50; ++i) {
    wait_where_times_are_coarse();
    write_once();
    const auto now = times_of(mounted("file"));
    ASSERT_GT(now.mtime, last.mtime) << i;
    ASSERT_GT(now.ctime, last.ctime) << i;
    last = now;
  }
}

TEST_P(WriteEffects, TimesAreNoOlderThanTheLastOfManyWrites) {
  for (int burst = 0; burst < 5; ++burst) {
    const auto end = steady_clock::now() + 3 * kTick;
    std::int64_t last_write = 0;
    while (steady_clock::now() < end) {
      last_write = clock_of_the_kernel();
      write_once();
    }
    const auto outside = times_of(backing("file"));
    EXPECT_GE(outside.mtime, last_write);
    EXPECT_GE(outside.ctime, last_write);
    const auto inside = times_of(mounted("file"));
    EXPECT_EQ(inside.mtime, outside.mtime);
    EXPECT_EQ(inside.ctime, outside.ctime);
  }
}

TEST_P(WriteEffects, ATimeThatSomebodySetIsOverwritten) {
  constexpr timespec kLongAgo[] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
  for (const bool outside : {false, true}) {
    const auto path = outside ? backing("file") : mounted("file");
    for (int i = 0; i < 20; ++i) {
      write_once();
      if (outside) wait_where_times_are_coarse();
      ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), kLongAgo, 0), 0);
      write_once();
      ASSERT_GT(times_of(backing("file")).mtime, 1'000'000'001'000'000'000) << outside << " " << i;
    }
  }
}

/// Returns the mode of a file of root's after somebody of `groups` has written to it.
mode_t mode_after_a_strangers_write(const std::string& path, const std::vector<gid_t>& groups) {
  EXPECT_EQ(as_user(kStranger, kStranger, groups,
                    [&] {
                      const Fd fd = open_file(path, O_WRONLY);
                      return pwrite(fd.get(), "y", 1, 5000) == 1 ? 0 : errno;
                    }),
            0);
  return status_of(path).st_mode;
}

TEST_P(WriteEffects, SetuidAndSetgidEndWithAStrangersWriteAsOnTheBacking) {
  write_file(backing("plain"), pattern(16'384, 1));
  for (const mode_t bits : {04777, 02777, 06777, 02767}) {
    for (const std::vector<gid_t>& groups : {std::vector<gid_t>{}, {0, 777}}) {
      ASSERT_EQ(chmod(backing("plain").c_str(), bits), 0);
      const auto expected = mode_after_a_strangers_write(backing("plain"), groups);
      for (const bool outside : {false, true}) {
        write_once();
        ASSERT_EQ(chmod((outside ? backing("file") : mounted("file")).c_str(), bits), 0);
        mode_after_a_strangers_write(mounted("file"), groups);
        EXPECT_EQ(status_of(backing("file")).st_mode, expected)
            << std::oct << bits << " set " << (outside ? "outside" : "inside") << ", writer in "
            << groups.size() << " groups";
      }
    }
  }
}

TEST_P(WriteEffects, RootsOwnWriteKeepsSetuid) {
  ASSERT_EQ(chmod(mounted("file").c_str(), 04755), 0);
  for (int i = 0; i < 3; ++i) write_once();
  EXPECT_EQ(status_of(backing("file")).st_mode & 07777, 04755u);
}

TEST_P(WriteEffects, CapabilitiesEndWithAnyWrite) {
  vfs_cap_data capability{};
  capability.magic_etc = VFS_CAP_REVISION_2;
  capability.data[0].permitted = 1u << CAP_CHOWN;
  const auto give = [&](const std::string& path) {
    return setxattr(path.c_str(), "security.capability", &capability, XATTR_CAPS_SZ_2, 0);
  };
  const auto has_one = [&] {
    return get_xattr(backing("file"), "security.capability").has_value();
  };
  for (const bool outside : {false, true}) {
    const auto path = outside ? backing("file") : mounted("file");
    for (int i = 0; i < 20; ++i) {
      write_once();
      if (outside) wait_where_times_are_coarse();
      ASSERT_EQ(give(path), 0) << "errno " << errno;
      ASSERT_TRUE(has_one());
      write_once();
      ASSERT_FALSE(has_one()) << (outside ? "given outside " : "given inside ") << i;
    }
  }
}

}  // namespace
}  // namespace alignfs::test
