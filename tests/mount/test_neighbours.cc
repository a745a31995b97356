// Others at work on the same files: on the backing, through a mapping, as another user.

#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <memory>
#include <thread>

#include "mount/support/command.h"
#include "mount/support/fd.h"
#include "mount/support/fixture.h"
#include "mount/support/meanwhile.h"
#include "mount/support/modes.h"
#include "mount/support/mount.h"

namespace alignfs::test {
namespace {

constexpr uid_t kStranger = 12345;
constexpr gid_t kStrangersGroup = 12346;

class Neighbours : public ModeTest, protected BackingAndMount {
 protected:
  void SetUp() override {
    MountTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    backing_ = std::make_unique<Backing>(LoopDisk::Shape{});
    mount_ = std::make_unique<Mount>(backing_->path(), GetParam().with("allow_other,suid"));
  }
};

INSTANTIATE_TEST_SUITE_P(Modes, Neighbours, ::testing::ValuesIn(kEachWay), mode_name);

/// The mode as the kernel acts on it: asked for alone, it is not fetched anew for the sake of the
/// size or times that a write has made stale.
mode_t mode_of(const std::string& path) {
  struct statx status {};
  EXPECT_EQ(statx(AT_FDCWD, path.c_str(), 0, STATX_MODE, &status), 0) << path;
  return status.stx_mode & 07777;
}

TEST_P(Neighbours, AppendsFindTheEndThatFallocateMade) {
  const Fd fd = open_file(mounted("file"), O_RDWR | O_CREAT | O_APPEND);
  ASSERT_EQ(write(fd.get(), "a", 1), 1);
  ASSERT_EQ(fallocate(fd.get(), 0, 0, 8192), 0);
  ASSERT_EQ(write(fd.get(), "z", 1), 1);
  EXPECT_EQ(size_of(backing("file")), 8193);
  EXPECT_EQ(read_file(backing("file")).back(), 'z');
}

TEST_P(Neighbours, AppendsLeaveNoHolesBesideSomebodyWhoStats) {
  const Fd fd = open_file(mounted("file"), O_WRONLY | O_CREAT | O_APPEND);
  constexpr int kRounds = 20'000;
  {
    const Meanwhile stats([&] {
      struct stat status {};
      stat(mounted("file").c_str(), &status);
    });
    for (int i = 0; i < kRounds; ++i) ASSERT_EQ(write(fd.get(), "0123456789", 10), 10);
  }
  const auto content = read_file(backing("file"));
  EXPECT_EQ(content.size(), 10U * kRounds);
  EXPECT_EQ(std::count(content.begin(), content.end(), '\0'), 0);
}

TEST_P(Neighbours, AppendsOnBothSidesOfTheMountAllSurvive) {
  const Fd ours = open_file(mounted("file"), O_WRONLY | O_CREAT | O_APPEND);
  const Fd theirs = open_file(backing("file"), O_WRONLY | O_APPEND);
  constexpr int kRounds = 10'000;
  std::atomic<long> outside{0};
  {
    const Meanwhile appends([&] { outside += write(theirs.get(), "E", 1); });
    const Meanwhile stats([&] {
      struct stat status {};
      stat(mounted("file").c_str(), &status);
    });
    for (int i = 0; i < kRounds; ++i) ASSERT_EQ(write(ours.get(), "M", 1), 1);
  }
  const auto content = read_file(backing("file"));
  EXPECT_EQ(std::count(content.begin(), content.end(), 'M'), kRounds);
  EXPECT_EQ(std::count(content.begin(), content.end(), 'E'), outside.load());
  EXPECT_EQ(content.size(), std::size_t(kRounds) + std::size_t(outside));
}

TEST_P(Neighbours, AnAppendOnlyFileTakesAppendsAlone) {
  write_file(backing("file"), "one");
  ASSERT_EQ(set_file_flags(backing("file"), FS_APPEND_FL), 0);
  EXPECT_EQ(open(mounted("file").c_str(), O_WRONLY), -1);
  EXPECT_EQ(errno, EPERM);
  const int fd = open(mounted("file").c_str(), O_WRONLY | O_APPEND);
  EXPECT_GE(fd, 0);
  const std::string more(5000, 'x');
  EXPECT_EQ(write(fd, more.data(), more.size()), ssize_t(more.size()));
  close(fd);
  ASSERT_EQ(set_file_flags(backing("file"), 0), 0);
  EXPECT_EQ(read_file(backing("file")), "one" + more);
}

/// Nor may root clear the bits of such a file, so that nobody writes it who may not keep them.
TEST_P(Neighbours, AnAppendOnlyFileKeepsItsSetuidBitAndItsBytes) {
  if (GetParam().passthrough) return;  // the kernel writes, as root
  write_file(backing("file"), "one");
  ASSERT_EQ(chmod(backing("file").c_str(), 04777), 0);
  ASSERT_EQ(set_file_flags(backing("file"), FS_APPEND_FL), 0);
  const auto append_to = [&](const std::string& path) {
    return as_user(kStranger, kStrangersGroup, {}, [&] {
      const Fd fd(open(path.c_str(), O_WRONLY | O_APPEND));
      if (!fd) return 255;
      return write(fd.get(), "two", 3) == 3 ? 0 : errno;
    });
  };
  const int native = append_to(backing("file")), ours = append_to(mounted("file"));
  ASSERT_EQ(set_file_flags(backing("file"), 0), 0);
  EXPECT_EQ(native, EPERM);
  EXPECT_EQ(ours, EPERM);
  EXPECT_EQ(read_file(backing("file")), "one");
}

/// As truncate(2) of the backing does.
TEST_P(Neighbours, ATruncationWaitsForTheLeaseOfAnother) {
  write_file(backing("file"), "leased");
  signal(SIGIO, SIG_IGN);
  const Fd leased = open_file(backing("file"), O_RDONLY);
  ASSERT_EQ(fcntl(leased.get(), F_SETLEASE, F_RDLCK), 0);
  std::jthread holder([&] {
    // It is to end as soon as somebody wants to write.
    while (fcntl(leased.get(), F_GETLEASE) == F_RDLCK) usleep(1000);
    usleep(50'000);
    EXPECT_EQ(fcntl(leased.get(), F_SETLEASE, F_UNLCK), 0);
  });
  EXPECT_EQ(truncate(mounted("file").c_str(), 3), 0) << errno;
  holder.join();
  EXPECT_EQ(read_file(backing("file")), "lea");
}

/// The kernel has asked whether he may make device nodes.
TEST_P(Neighbours, WhoMayMakeDeviceNodesMakesThem) {
  ASSERT_EQ(chmod(backing_->path().c_str(), 0777), 0);
  const Outcome made =
      run({"setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "--inh-caps=+mknod",
           "--ambient-caps=+mknod", "mknod", mounted("node"), "c", "1", "3"});
  EXPECT_EQ(made.status, 0) << made.err;
  struct stat status {};
  ASSERT_EQ(stat(backing("node").c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 12345U);
  EXPECT_EQ(run({"setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "mknod",
                 mounted("another"), "c", "1", "3"})
                .status,
            1)
      << "he may not";
}

TEST_P(Neighbours, TwoNamesThroughABindMountAreOneFile) {
  write_file(backing("file"), std::string(4096, '\0'));
  write_file(backing("bound"), "");
  ASSERT_EQ(::mount(backing("file").c_str(), backing("bound").c_str(), nullptr, MS_BIND, nullptr),
            0);
  std::string lost;
  {
    Mount mount(backing_->path(), GetParam().options);
    const auto count_up = [&](const std::string& name, off_t where) {
      const Fd fd = open_file(mount / name, O_RDWR);
      for (int i = 1; i <= 2000; ++i) {
        const char value = char(i % 100);
        char seen = 0;
        if (pwrite(fd.get(), &value, 1, where) != 1 || pread(fd.get(), &seen, 1, where) != 1)
          return -1;
        if (seen != value) return i;
      }
      return 0;
    };
    std::atomic<int> other{0};
    std::thread thread([&] { other = count_up("bound", 1); });
    const int one = count_up("file", 0);
    thread.join();
    EXPECT_EQ(one, 0) << "a write through the first name was lost";
    EXPECT_EQ(other, 0) << "a write through the second name was lost";
  }
  EXPECT_EQ(umount(backing("bound").c_str()), 0);
}

TEST_P(Neighbours, SetuidEndsAtOnceForTheKernelToo) {
  write_file(backing("program"), "old");
  ASSERT_EQ(chmod(backing("program").c_str(), 04777), 0);
  ASSERT_EQ(mode_of(mounted("program")), mode_t(04777));  // the kernel knows it now
  const int result = as_user(kStranger, kStranger, {}, [&] {
    const Fd fd = open_file(mounted("program"), O_WRONLY);
    return write(fd.get(), "new", 3) == 3 ? 0 : errno;
  });
  EXPECT_EQ(result, 0);
  EXPECT_EQ(mode_of(backing("program")), mode_t(0777));
  EXPECT_EQ(mode_of(mounted("program")), mode_t(0777));
}

TEST_P(Neighbours, SetgidGoesWithAnAclChangeByAnOutsider) {
  write_file(backing("file"), "x");
  ASSERT_EQ(chown(backing("file").c_str(), kStranger, kStrangersGroup), 0);
  ASSERT_EQ(chmod(backing("file").c_str(), 02755), 0);
  // Each time another entry: setfacl leaves an ACL alone that is as it should be.
  const auto set_acl = [&](const std::string& entry, const std::vector<gid_t>& groups) {
    return as_user(kStranger, kStranger, groups, [&] {
      return run({"setfacl", "-m", entry, mounted("file")}).status;
    });
  };
  ASSERT_EQ(set_acl("u:54321:r", {kStrangersGroup}), 0);
  EXPECT_NE(mode_of(backing("file")) & S_ISGID, 0U) << "a member of the group may keep it";
  ASSERT_EQ(set_acl("u:54322:r", {}), 0);
  EXPECT_EQ(mode_of(backing("file")) & S_ISGID, 0U);
}

TEST_P(Neighbours, CreateDoesNotOpenWhatTheCallerMayNot) {
  ASSERT_EQ(mkdir(backing("public").c_str(), 0777), 0);
  ASSERT_EQ(chmod(backing("public").c_str(), 0777), 0);
  // Somebody makes and removes a private file; the stranger opens it with O_CREAT over and over,
  // and sometimes meets it between the kernel's look and the daemon's.
  const auto secret = backing("public/secret");
  // Now, because a child that is forked beside a busy thread may wait for memory for ever.
  const auto seen_secret = mounted("public/secret");
  const Meanwhile maker([&] {
    Fd fd = open_file(secret, O_WRONLY | O_CREAT, 0600);
    if (write(fd.get(), "private", 7) != 7) ADD_FAILURE();
    fd.close();
    unlink(secret.c_str());
  });
  const int read_private = as_user(kStranger, kStranger, {}, [&] {
    int seen = 0;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    while (std::chrono::steady_clock::now() < end) {
      const int fd = open(seen_secret.c_str(), O_RDWR | O_CREAT, 0600);
      char text[8] = {};
      if (fd >= 0 && pread(fd, text, 7, 0) == 7 && text[0] == 'p') {
        struct stat status {};
        fstat(fd, &status);
        seen += status.st_uid == 0;
      }
      close(fd);
      unlink(seen_secret.c_str());
    }
    return std::min(seen, 200);
  });
  EXPECT_EQ(read_private, 0);
}

}  // namespace
}  // namespace alignfs::test
