// How a mount begins and ends, and what it costs while it lives.

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "mount/support/fixture.h"
#include "mount/support/modes.h"

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

/// What wakes its threads and what tells of a lost page reach the daemon whatever its starter had
/// blocked.
TEST_F(Lifecycle, SignalsBlockedByTheStarterAreTheDaemonsAllTheSame) {
  const TempDir source;
  write_file(source / "file", pattern(8192, 1));
  sigset_t all, before;
  sigfillset(&all);
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &all, &before), 0);
  Mount mount(source.path(), "mode=mapped", Mount::Style::daemon);
  ASSERT_EQ(pthread_sigmask(SIG_SETMASK, &before, nullptr), 0);
  std::ifstream status("/proc/" + std::to_string(mount.pid()) + "/status");
  std::uint64_t blocked = 0;
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("SigBlk:")) blocked = std::stoull(line.substr(7), nullptr, 16);
  }
  EXPECT_NE(blocked, 0U) << "there was something to unblock";
  for (const int signal : {SIGUSR2, SIGBUS}) EXPECT_EQ(blocked >> (signal - 1) & 1, 0U) << signal;
  EXPECT_EQ(mount.kill(SIGTERM), 0);
}

TEST_F(Lifecycle, MountWorksAgainAfterTheDaemonWasKilled) {
  const TempDir source;
  Mount first(source.path());
  write_file(first / "file", "kept");
  first.kill(SIGKILL);
  const Mount second(source.path());
  EXPECT_EQ(read_file(second / "file"), "kept");
}

/// Modes whose writes the daemon carries out, so that they end with it.
constexpr Mode kServedByTheDaemon[] = {kBounce, kSplit, kMapped, kBuffered};

/// Guarantee 5: what a write acknowledged is in the backing file, and guarantee 1: nothing more.
class Killed : public ModeTest {
 protected:
  /// Makes `write(i)` until the daemon, killed after 300 of them, lets one fail.
  static void write_until_killed(Mount& mount, const std::function<bool(unsigned)>& write) {
    std::atomic<unsigned> writes{0};
    std::thread writer([&] {
      while (write(writes)) ++writes;
    });
    while (writes < 300) std::this_thread::yield();
    mount.kill(SIGKILL);
    writer.join();
  }
};

INSTANTIATE_TEST_SUITE_P(Lifecycle, Killed, ::testing::ValuesIn(kServedByTheDaemon), mode_name);

TEST_P(Killed, DaemonLosesNoAcknowledgedByteAndLeavesNoPadding) {
  const Backing backing(LoopDisk::Shape{});
  Mount mount(backing.path(), GetParam().options);
  const Fd fd = open_file(mount / "file", O_RDWR | O_CREAT);
  std::string acknowledged, in_flight;
  write_until_killed(mount, [&](unsigned i) {
    in_flight = pattern(1 + (i * 769) % 5000, i);
    if (pwrite(fd.get(), in_flight.data(), in_flight.size(),
               static_cast<off_t>(acknowledged.size())) != ssize_t(in_flight.size())) {
      return false;
    }
    acknowledged += in_flight;
    return true;
  });
  const std::string left = read_file(backing / "file");
  ASSERT_GE(left.size(), acknowledged.size());
  EXPECT_TRUE(same_bytes(left.substr(0, acknowledged.size()), acknowledged));
  // The write that was never acknowledged may be there in part, and nothing else.
  const std::string rest = left.substr(acknowledged.size());
  EXPECT_LE(rest.size(), in_flight.size());
  EXPECT_TRUE(same_bytes(rest, in_flight.substr(0, rest.size())));
}

TEST_P(Killed, DaemonLosesNoAcknowledgedByteWrittenInPlace) {
  constexpr std::size_t kSize = 300'000;
  const Backing backing(LoopDisk::Shape{});
  std::string content = pattern(kSize, 1);
  write_file(backing / "file", content);
  Mount mount(backing.path(), GetParam().options);
  const Fd fd = open_file(mount / "file", O_RDWR);
  std::size_t offset = 0;
  std::string in_flight;
  write_until_killed(mount, [&](unsigned i) {
    offset = (i * 7919u) % (kSize - 5000);
    in_flight = pattern(1 + (i * 769) % 5000, i);
    if (pwrite(fd.get(), in_flight.data(), in_flight.size(), static_cast<off_t>(offset)) !=
        ssize_t(in_flight.size())) {
      return false;
    }
    content.replace(offset, in_flight.size(), in_flight);
    return true;
  });
  std::string left = read_file(backing / "file");
  ASSERT_EQ(left.size(), kSize);
  // Where the last write was to go, old and new bytes may lie; nowhere else anything changed.
  for (std::size_t i = 0; i < in_flight.size(); ++i) {
    if (left[offset + i] == in_flight[i]) left[offset + i] = content[offset + i];
  }
  EXPECT_TRUE(same_bytes(left, content));
}

class FullDisk : public ModeTest {};

INSTANTIATE_TEST_SUITE_P(Lifecycle, FullDisk, ::testing::ValuesIn(kEveryMode), mode_name);

TEST_P(FullDisk, ReachesTheProgramAndOthersGoOn) {
  const LoopDisk disk(LoopDisk::Shape{.megabytes = 32});
  const Mount mount(disk.path(), GetParam().options);
  write_file(disk / "other", pattern(8192, 1));
  AlignedBuffer buffer(1 << 20);
  const Fd fd = open_file(mount / "filler", O_RDWR | O_CREAT);
  off_t end = 0;
  ssize_t put = 0;
  while ((put = pwrite(fd.get(), buffer.data(), buffer.size(), end)) > 0) end += put;
  EXPECT_EQ(put, -1);
  EXPECT_EQ(errno, ENOSPC);
  EXPECT_EQ(size_of(disk / "filler"), end) << "size without the write that failed";
  if (!strict()) {
    // Up to the last block in small steps of odd size.
    while ((put = pwrite(fd.get(), buffer.data(), 61, end)) > 0) end += put;
    EXPECT_EQ(put, -1);
    EXPECT_EQ(errno, ENOSPC);
    EXPECT_EQ(size_of(disk / "filler"), end);
  }
  const Fd other = open_file(mount / "other", O_RDWR);
  EXPECT_EQ(pwrite(other.get(), buffer.data(), 4096, 0), 4096);
  EXPECT_EQ(pread(other.get(), buffer.data(), 8192, 0), 8192);
  EXPECT_TRUE(
      same_bytes(buffer.view(8192), std::string(4096, '\0') + pattern(8192, 1).substr(4096)));
  EXPECT_EQ(unlink((mount / "filler").c_str()), 0);
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

class Truncated : public ModeTest {};

INSTANTIATE_TEST_SUITE_P(Lifecycle, Truncated, ::testing::ValuesIn(kEveryMode), mode_name);

TEST_P(Truncated, FileCutShortOutsideWhileReadGivesShortReads) {
  const Backing backing(LoopDisk::Shape{});
  write_file(backing / "file", pattern(1 << 20, 1));
  const Mount mount(backing.path(), GetParam().options);
  const Fd fd = open_file(mount / "file", O_RDONLY);
  AlignedBuffer buffer(1 << 20);
  EXPECT_EQ(pread(fd.get(), buffer.data(), 1 << 20, 0), 1 << 20);
  ASSERT_EQ(truncate((backing / "file").c_str(), 5000), 0);
  EXPECT_EQ(pread(fd.get(), buffer.data(), 1 << 20, 0), 5000);
  EXPECT_TRUE(same_bytes(buffer.view(5000), pattern(1 << 20, 1).substr(0, 5000)));
  EXPECT_EQ(pread(fd.get(), buffer.data(), 4096, 8192), 0);
}

/// Kilobytes of its own that the process holds resident: pages of files that it maps are not.
long resident_kilobytes(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::stol(line.substr(8));
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

struct Load {
  Mode mode;
  unsigned files;
};

void PrintTo(const Load& load, std::ostream* out) { *out << load.mode; }

class ManyFiles : public MountTest, public ::testing::WithParamInterface<Load> {};

INSTANTIATE_TEST_SUITE_P(Lifecycle, ManyFiles,
                         ::testing::Values(Load{kBounce, 100'000}, Load{kMapped, 20'000},
                                           Load{kMappedPassthrough, 20'000}),
                         [](const auto& test) { return test.param.mode.name; });

TEST_P(ManyFiles, AndAGibibyteLeaveNothingBehind) {
  const unsigned files = GetParam().files;
  constexpr unsigned kDirectories = 100;
  const TmpfsDir tmpfs("size=3g");
  const Mount mount(tmpfs.path(), GetParam().mode.options);
  const long before = open_descriptors(mount.pid());
  for (unsigned i = 0; i < kDirectories; ++i) {
    ASSERT_EQ(mkdir((mount / std::to_string(i)).c_str(), 0755), 0);
  }
  char byte = 0;
  for (unsigned i = 0; i < files; ++i) {
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
  EXPECT_EQ(Stats(mount.path()).samples().at("alignfs_mappings"), 0);
}

}  // namespace
}  // namespace alignfs::test
