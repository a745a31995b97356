// How a mount begins and ends, and what it costs while it lives.

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <thread>

#include "mount/support/fixture.h"

namespace alignfs::test {
namespace {

class Lifecycle : public MountTest {};

TEST_F(Lifecycle, DaemonReturnsOnceTheMountAnswers) {
  const TempDir source;
  write_file(source / "file", "there");
  Mount mount(source.path(), "", Mount::Style::daemon);
  EXPECT_EQ(read_file(mount / "file"), "there");
  EXPECT_EQ(mount.stop(), 0);
}

TEST_F(Lifecycle, DaemonLetsGoOfItsStartersOutputsAndDirectory) {
  const TempDir source;
  Mount mount(source.path(), "", Mount::Style::daemon);
  const std::string proc = "/proc/" + std::to_string(mount.pid());
  EXPECT_EQ(std::filesystem::read_symlink(proc + "/cwd"), "/");
  for (const char* fd : {"0", "1", "2"}) {
    EXPECT_EQ(std::filesystem::read_symlink(proc + "/fd/" + fd), "/dev/null") << fd;
  }
  EXPECT_NE(getsid(mount.pid()), getsid(0));
  EXPECT_EQ(mount.stop(), 0);
}

TEST_F(Lifecycle, TerminationUnmountsAndExitsWithZero) {
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) {
    const TempDir source;
    Mount mount(source.path());
    write_file(mount / "file", "kept");
    EXPECT_EQ(mount.kill(signal), 0) << "signal " << signal;
    EXPECT_FALSE(is_mounted(mount.path()));
    EXPECT_EQ(read_file(source / "file"), "kept");
  }
}

TEST_F(Lifecycle, TerminationOfTheDaemonStyleToo) {
  const TempDir source;
  Mount mount(source.path(), "", Mount::Style::daemon);
  EXPECT_EQ(mount.kill(SIGTERM), 0);
  EXPECT_FALSE(is_mounted(mount.path()));
}

TEST_F(Lifecycle, MountWorksAgainAfterTheDaemonWasKilled) {
  const TempDir source;
  Mount first(source.path());
  write_file(first / "file", "kept");
  first.kill(SIGKILL);
  const Mount second(source.path());
  EXPECT_EQ(read_file(second / "file"), "kept");
}

/// Guarantee 5: what a write acknowledged is in the backing file, and guarantee 1: nothing more.
TEST_F(Lifecycle, KilledDaemonLosesNoAcknowledgedByteAndLeavesNoPadding) {
  const Backing backing(LoopDisk::Shape{});
  for (const std::string unaligned : {"bounce", "split"}) {
    const std::string name = "file-" + unaligned;
    Mount mount(backing.path(), "unaligned=" + unaligned);
    const Fd fd = open_file(mount / name, O_RDWR | O_CREAT);
    std::string acknowledged, in_flight;
    std::atomic<unsigned> writes{0};
    std::thread writer([&] {
      for (unsigned i = 0;; ++i) {
        const std::string bytes = pattern(1 + (i * 769) % 5000, i);
        in_flight = bytes;
        if (pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(acknowledged.size())) !=
            static_cast<ssize_t>(bytes.size())) {
          return;
        }
        acknowledged += bytes;
        ++writes;
      }
    });
    while (writes < 300) std::this_thread::yield();
    mount.kill(SIGKILL);
    writer.join();
    const std::string left = read_file(backing / name);
    ASSERT_GE(left.size(), acknowledged.size());
    EXPECT_TRUE(same_bytes(left.substr(0, acknowledged.size()), acknowledged));
    // The write that was never acknowledged may be there in part, and nothing else.
    const std::string rest = left.substr(acknowledged.size());
    EXPECT_LE(rest.size(), in_flight.size());
    EXPECT_TRUE(same_bytes(rest, in_flight.substr(0, rest.size())));
  }
}

TEST_F(Lifecycle, FullDiskReachesTheProgramAndOthersGoOn) {
  const LoopDisk disk(LoopDisk::Shape{.megabytes = 32});
  for (const std::string unaligned : {"bounce", "split", "reject"}) {
    const Mount mount(disk.path(), "unaligned=" + unaligned);
    write_file(disk / "other", pattern(8192, 1));
    AlignedBuffer buffer(1 << 20);
    const Fd fd = open_file(mount / "filler", O_RDWR | O_CREAT);
    off_t end = 0;
    ssize_t put = 0;
    while ((put = pwrite(fd.get(), buffer.data(), buffer.size(), end)) > 0) end += put;
    EXPECT_EQ(put, -1);
    EXPECT_EQ(errno, ENOSPC);
    EXPECT_EQ(size_of(disk / "filler"), end) << "size without the write that failed";
    if (unaligned != "reject") {
      errno = 0;
      while ((put = pwrite(fd.get(), "tail", 4, end)) == 4) end += 4;
      EXPECT_EQ(errno, ENOSPC);
    }
    const Fd other = open_file(mount / "other", O_RDWR);
    EXPECT_EQ(pwrite(other.get(), buffer.data(), 4096, 0), 4096);
    EXPECT_EQ(pread(other.get(), buffer.data(), 8192, 0), 8192);
    EXPECT_TRUE(
        same_bytes(buffer.view(8192), std::string(4096, '\0') + pattern(8192, 1).substr(4096)));
    EXPECT_EQ(unlink((mount / "filler").c_str()), 0);
  }
}

TEST_F(Lifecycle, BackingOnlyReadableIsReadOnly) {
  const TmpfsDir tmpfs("size=16m");
  write_file(tmpfs.path() + "/file", "x");
  const Mount mount(tmpfs.path(), "ro");
  EXPECT_EQ(read_file(mount / "file"), "x");
  EXPECT_LT(open((mount / "file").c_str(), O_RDWR), 0);
  EXPECT_EQ(errno, EROFS);
  EXPECT_LT(open((mount / "new").c_str(), O_RDWR | O_CREAT, 0600), 0);
  EXPECT_EQ(errno, EROFS);
}

TEST_F(Lifecycle, FileTruncatedOutsideWhileReadGivesShortReads) {
  const Backing backing(LoopDisk::Shape{});
  write_file(backing / "file", pattern(1 << 20, 1));
  const Mount mount(backing.path());
  const Fd fd = open_file(mount / "file", O_RDONLY);
  AlignedBuffer buffer(1 << 20);
  EXPECT_EQ(pread(fd.get(), buffer.data(), 1 << 20, 0), 1 << 20);
  ASSERT_EQ(truncate((backing / "file").c_str(), 5000), 0);
  EXPECT_EQ(pread(fd.get(), buffer.data(), 1 << 20, 0), 5000);
  EXPECT_TRUE(same_bytes(buffer.view(5000), pattern(1 << 20, 1).substr(0, 5000)));
}

/// Kilobytes that the process holds resident.
long resident_kilobytes(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::stol(line.substr(6));
  }
  return -1;
}

long open_descriptors(pid_t pid) {
  const auto entries = std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd");
  return std::distance(begin(entries), end(entries));
}

/// Tells the kernel to forget what it knows of the mount, so that the daemon may forget it, too.
void drop_caches() { std::ofstream("/proc/sys/vm/drop_caches") << "2\n"; }

/// True once the daemon has at most `limit` descriptors open: releases come after close() returns.
bool descriptors_return_to(pid_t pid, long limit) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (open_descriptors(pid) > limit) {
    if (std::chrono::steady_clock::now() > end) return false;
    drop_caches();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return true;
}

TEST_F(Lifecycle, HundredThousandFilesAndAGibibyteLeaveNothingBehind) {
  constexpr unsigned kFiles = 100'000;
  constexpr unsigned kDirectories = 100;
  const TmpfsDir tmpfs("size=3g");
  const Mount mount(tmpfs.path());
  const long before = open_descriptors(mount.pid());
  for (unsigned i = 0; i < kDirectories; ++i) {
    ASSERT_EQ(mkdir((mount / std::to_string(i)).c_str(), 0755), 0);
  }
  char byte = 0;
  for (unsigned i = 0; i < kFiles; ++i) {
    const std::string name = mount / (std::to_string(i % kDirectories) + "/" + std::to_string(i));
    {
      const Fd fd = open_file(name, O_RDWR | O_CREAT | O_EXCL);
      ASSERT_EQ(pwrite(fd.get(), "x", 1, 0), 1);
    }
    struct stat status {};
    ASSERT_EQ(stat(name.c_str(), &status), 0);
    const Fd fd = open_file(name, O_RDONLY);
    ASSERT_EQ(pread(fd.get(), &byte, 1, 0), 1);
  }
  AlignedBuffer buffer(4 << 20);
  {
    const Fd fd = open_file(mount / "stream", O_RDWR | O_CREAT | O_DIRECT);
    for (off_t at = 0; at < off_t{1} << 30; at += 4 << 20) {
      ASSERT_EQ(pwrite(fd.get(), buffer.data(), buffer.size(), at), 4 << 20);
    }
    for (off_t at = 0; at < off_t{1} << 30; at += 4 << 20) {
      ASSERT_EQ(pread(fd.get(), buffer.data(), buffer.size(), at), 4 << 20);
    }
  }
  const long resident = resident_kilobytes(mount.pid());
  RecordProperty("resident_kilobytes", static_cast<int>(resident));
  if (!sanitized()) {
    EXPECT_LT(resident, 64 * 1024);
  }
  EXPECT_TRUE(descriptors_return_to(mount.pid(), before))
      << open_descriptors(mount.pid()) << " open, " << before << " before";
}

}  // namespace
}  // namespace alignfs::test
