// Mapped mode over backings where a map is not all that a read is, and over a disk with bad
// sectors.

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <memory>
#include <system_error>
#include <thread>

#include "mount/support/extents.h"
#include "mount/support/fixture.h"
#include "mount/support/modes.h"
#include "mount/support/observe.h"
#include "mount/support/overlay.h"
#include "mount/support/trouble.h"

namespace alignfs::test {
namespace {

constexpr std::size_t kPage = 4096;

class MappedBackings : public MountTest {};

TEST_F(MappedBackings, HolesInMemoryStayHolesWhenTheyAreRead) {
  const TmpfsDir memory("size=16m");
  const std::string path = memory.path() + "/sparse";
  write_file(path, "");
  ASSERT_EQ(truncate(path.c_str(), 64 << 20), 0);
  const Mount mount(memory.path(), kMapped.options);
  EXPECT_EQ(read_file(mount / "sparse"), std::string(64 << 20, '\0'));
  struct stat status {};
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_blocks, 0);
  EXPECT_NE(mount.log().find("files are read by pread"), std::string::npos);
  EXPECT_EQ(get_xattr(mount / "sparse", "user.alignfs.mode"),
            "buffered: files like this one are not mapped");
}

TEST_F(MappedBackings, WhatACopyUpChangedIsSeenByEarlierReaders) {
  const Backing disk{{}};
  const Overlay overlay(disk.path());
  write_file(overlay.lower("file"), "lower");
  const Mount mount(overlay.path(), kMapped.options);
  const Fd reader = open_file(mount / "file", O_RDONLY);
  EXPECT_EQ(try_pread(reader, 0, 100), "lower");
  const Fd writer = open_file(mount / "file", O_WRONLY | O_APPEND);
  ASSERT_EQ(write(writer.get(), " and more", 9), 9);
  EXPECT_EQ(read_file(mount / "file"), "lower and more");
  EXPECT_EQ(read_file(overlay / "file"), "lower and more");
}

TEST_F(MappedBackings, ReadsMoveTheAccessTime) {
  const Backing disk{{}};
  write_file(disk / "file", pattern(10'000, 1));
  const Mount mount(disk.path(), kMapped.options);
  const Fd fd = open_file(mount / "file", O_RDWR);
  // With relatime the access time moves if it is not younger than the last change.
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(pwrite(fd.get(), "x", 1, 5), 1);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    ASSERT_EQ(try_pread(fd, 100, 1000).size(), 1000u);
    struct stat status {};
    ASSERT_EQ(stat((disk / "file").c_str(), &status), 0);
    EXPECT_GT(status.st_atim.tv_sec * 1'000'000'000 + status.st_atim.tv_nsec,
              status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

TEST_F(MappedBackings, AReaderHoldsOffNeitherExecutionNorLeases) {
  const Backing disk{{}};
  write_file(disk / "program", "#!/bin/true\n");
  ASSERT_EQ(chmod((disk / "program").c_str(), 0755), 0);
  const Mount mount(disk.path(), kMapped.options);
  {
    const Fd writer = open_file(mount / "program", O_RDWR);
    EXPECT_EQ(try_pread(writer, 0, 5), "#!/bi");
    ASSERT_EQ(pwrite(writer.get(), "#", 1, 0), 1);
  }
  const Fd reader = open_file(mount / "program", O_RDONLY);
  EXPECT_EQ(try_pread(reader, 0, 5), "#!/bi");
  // The writer's handle is released behind its close().
  const Fd own = open_file(disk / "program", O_RDONLY);
  bool leased = false;
  for (int i = 0; i < 500 && !leased; ++i) {
    leased = fcntl(own.get(), F_SETLEASE, F_RDLCK) == 0;
    if (!leased) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(leased) << "errno " << errno;
}

/// An ext4 disk on an image, which is to be attached and mounted again, also through a TroubleFs.
class ImageDisk {
 public:
  explicit ImageDisk(const std::string& image) {
    run_checked({"losetup", "--sector-size", "4096", "--find", image});
    const auto listed = run({"losetup", "--noheadings", "--output", "NAME", "--associated", image});
    const std::string device = listed.out.substr(0, listed.out.find('\n'));
    const bool mounted =
        ::mount(device.c_str(), directory_.path().c_str(), "ext4", 0, nullptr) == 0;
    const int error = errno;
    // In use it stays until it is unmounted, and goes then by itself.
    run({"losetup", "--detach", device});
    if (!mounted) throw std::system_error(error, std::generic_category(), "mount " + device);
  }
  ~ImageDisk() { unmount(directory_.path()); }
  ImageDisk(const ImageDisk&) = delete;
  ImageDisk& operator=(const ImageDisk&) = delete;
  std::string operator/(const std::string& name) const { return directory_ / name; }
  const std::string& path() const { return directory_.path(); }

 private:
  TempDir directory_;
};

/// The page of the disk that holds the page `page` of the file.
std::uint64_t page_on_disk(const std::string& path, std::uint64_t page) {
  // It was written out by write_file().
  const fiemap_extent extent = extents_of(path, page * kPage, kPage).at(0);
  return (extent.fe_physical + (page * kPage - extent.fe_logical)) / kPage;
}

TEST_F(MappedBackings, ABadSectorIsAnErrorForThatReadAlone) {
  const TempDir store("/dev/shm");
  const std::string image = store / "image";
  write_file(image, "");
  ASSERT_EQ(truncate(image.c_str(), 64 << 20), 0);
  run_checked({"mkfs.ext4", "-q", "-F", "-b", "4096", image});
  const std::string content = pattern(64 * kPage, 1);
  std::string bad;
  {
    const ImageDisk disk(image);
    write_file(disk / "file", content);
    write_file(disk / "other", content);
    bad = std::to_string(page_on_disk(disk / "file", 20));
  }
  const TroubleFs trouble(store.path(), "bad_pages=" + bad);
  const ImageDisk disk(trouble / "image");
  // Nothing around the page is read with it.
  const Mount mount(disk.path(), kMapped.with("map_advice=random"));
  {
    const Fd fd = open_file(mount / "file", O_RDWR);
    for (int round = 0; round < 3; ++round) {
      EXPECT_EQ(try_pread(fd, 20 * kPage, kPage), "errno 5");
      EXPECT_EQ(try_pread(fd, 20 * kPage + 77, 10), "errno 5");
      EXPECT_TRUE(
          same_bytes(try_pread(fd, 18 * kPage, 4 * kPage), content.substr(18 * kPage, 2 * kPage)))
          << "what lies before it";
      EXPECT_TRUE(same_bytes(try_pread(fd, 0, 20 * kPage), content.substr(0, 20 * kPage)));
      EXPECT_TRUE(same_bytes(try_pread(fd, 21 * kPage, 100 * kPage), content.substr(21 * kPage)));
    }
    EXPECT_TRUE(same_bytes(read_file(mount / "other"), content));
    // Nobody waits for the kernel to let go of the other one.
    EXPECT_TRUE(eventually([&] { return Stats(mount.path()).gauge("alignfs_mappings") == 1; }))
        << "it was to be mapped";
  }
  EXPECT_EQ(kill(mount.pid(), 0), 0) << "the daemon is gone";
}

}  // namespace
}  // namespace alignfs::test
