// Mapped and buffered mounts whose files the kernel serves by itself, and what is said where it
// does not.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "mount/support/fixture.h"
#include "mount/support/overlay.h"

namespace alignfs::test {
namespace {

class Passthrough : public MountTest, public ::testing::WithParamInterface<const char*> {
 protected:
  std::string options() const { return std::string("passthrough,mode=") + GetParam(); }
};

INSTANTIATE_TEST_SUITE_P(Modes, Passthrough, ::testing::Values("mapped", "buffered"),
                         [](const auto& test) { return test.param; });

TEST_P(Passthrough, ReadsAndWritesNeverReachTheDaemon) {
  const Backing disk{{}};
  const Mount mount(disk.path(), options());
  std::string content = pattern(300'000, 1);
  {
    const Fd fd = open_file(mount / "file", O_RDWR | O_CREAT);
    ASSERT_EQ(pwrite(fd.get(), content.data(), content.size(), 0), ssize_t(content.size()));
    EXPECT_EQ(get_xattr(mount / "file", "user.alignfs.mode"), "passthrough");
    // While the first is open: all handles of an inode must be served in one way.
    const Fd append = open_file(mount / "file", O_WRONLY | O_APPEND);
    ASSERT_EQ(write(append.get(), "the end", 7), 7);
    content += "the end";
    ASSERT_EQ(pwrite(fd.get(), "odd", 3, 4095), 3);
    content.replace(4095, 3, "odd");
    EXPECT_EQ(size_of(mount / "file"), std::int64_t(content.size()));
    EXPECT_TRUE(same_bytes(read_file(mount / "file"), content));
  }
  EXPECT_TRUE(same_bytes(read_file(disk / "file"), content));
  const Stats stats(mount.path());
  EXPECT_EQ(stats.sum("alignfs_requests_total", "read"), 0);
  EXPECT_EQ(stats.sum("alignfs_requests_total", "write"), 0);
  EXPECT_NE(read_file(mount / ".alignfs/options").find("passthrough.effective=on\n"),
            std::string::npos);
  EXPECT_TRUE(Events(mount.path()).drain().empty());
}

TEST_P(Passthrough, DirectIoIsThatOfTheBacking) {
  const Backing disk{{}};
  write_file(disk / "file", pattern(8192, 2));
  const Mount mount(disk.path(), options());
  const Fd fd = open_file(mount / "file", O_RDWR | O_DIRECT);
  AlignedBuffer buffer(4096);
  EXPECT_EQ(pread(fd.get(), buffer.data(), 4096, 4096), 4096);
  EXPECT_TRUE(same_bytes(buffer.view(4096), pattern(8192, 2).substr(4096)));
  EXPECT_EQ(pread(fd.get(), buffer.data(), 512, 0), -1);
  EXPECT_EQ(errno, EINVAL);
}

TEST_P(Passthrough, StoresThroughAMapAreSeenEverywhere) {
  const Backing disk{{}};
  write_file(disk / "file", pattern(8192, 3));
  const Mount mount(disk.path(), options());
  const Fd fd = open_file(mount / "file", O_RDWR);
  auto* const map =
      static_cast<char*>(mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0));
  ASSERT_NE(map, MAP_FAILED);
  map[5000] = '!';
  const Fd below = open_file(disk / "file", O_RDWR);
  char byte = 0;
  EXPECT_EQ(pread(below.get(), &byte, 1, 5000), 1);
  EXPECT_EQ(byte, '!');
  EXPECT_EQ(pwrite(below.get(), "?", 1, 5001), 1);
  EXPECT_EQ(map[5001], '?');
  EXPECT_EQ(pread(fd.get(), &byte, 1, 5001), 1);
  EXPECT_EQ(byte, '?');
  munmap(map, 8192);
}

TEST_P(Passthrough, BackingThatTheKernelDeclinesGoesThroughTheDaemonAndIsSaidToDoSo) {
  const Backing disk{{}};
  const Overlay overlay(disk.path());
  const Mount mount(overlay.path(), options());
  const std::string content = pattern(10'000, 4);
  for (const char* name : {"one", "two"}) {
    const Fd fd = open_file(mount / name, O_RDWR | O_CREAT);
    ASSERT_EQ(pwrite(fd.get(), content.data(), content.size(), 0), ssize_t(content.size()));
    EXPECT_NE(get_xattr(mount / name, "user.alignfs.mode"), "passthrough");
    EXPECT_TRUE(same_bytes(read_file(mount / name), content));
  }
  EXPECT_GT(Stats(mount.path()).sum("alignfs_requests_total", "write"), 0);
  EXPECT_NE(read_file(mount / ".alignfs/options").find("passthrough.effective=off\n"),
            std::string::npos);
  EXPECT_NE(mount.log().find("passthrough is not to be had (SOURCE is on a filesystem that is "
                             "stacked on another)"),
            std::string::npos);
  auto events = Events(mount.path()).drain();
  std::erase_if(events, [](const auto& event) { return event["op"] != "open"; });
  ASSERT_EQ(events.size(), 1u) << "said once";
  EXPECT_EQ(events[0]["action"], "fallback");
  EXPECT_EQ(events[0]["path"], "/one");
  EXPECT_EQ(events[0]["reason"],
            "the kernel does not serve this file itself: its requests go through the daemon");
  EXPECT_NE(mount.log().find("fallback: the kernel does not serve this file itself"),
            std::string::npos);
}

}  // namespace
}  // namespace alignfs::test
