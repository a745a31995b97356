// Backings that only claim to do direct I/O, or refuse it: nothing falls back in silence.

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <system_error>

#include "mount/support/buffer.h"
#include "mount/support/bytes.h"
#include "mount/support/command.h"
#include "mount/support/fd.h"
#include "mount/support/fixture.h"
#include "mount/support/mount.h"
#include "mount/support/observe.h"

namespace alignfs::test {
namespace {

/// A ramfs: unlike tmpfs it refuses O_DIRECT.
class RamDir {
 public:
  RamDir() {
    if (::mount("ramfs", directory_.path().c_str(), "ramfs", 0, nullptr) != 0) {
      throw std::system_error(errno, std::generic_category(), "mount a ramfs");
    }
  }
  ~RamDir() { unmount(directory_.path()); }
  RamDir(const RamDir&) = delete;
  RamDir& operator=(const RamDir&) = delete;
  const std::string& path() const { return directory_.path(); }

 private:
  TempDir directory_;
};

struct Case {
  const char* name;
  const char* verdict;  ///< as .alignfs/options has it
};
std::ostream& operator<<(std::ostream& out, const Case& one) { return out << one.name; }

class Fallback : public MountTest, public ::testing::WithParamInterface<Case> {
 protected:
  void SetUp() override {
    MountTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    const std::string name = GetParam().name;
    if (name == "btrfs") {
      disk_ = std::make_unique<Backing>(LoopDisk::Shape{.filesystem = "btrfs"});
    } else if (name == "ext4_journal") {
      disk_ = std::make_unique<Backing>(
          LoopDisk::Shape{.filesystem = "ext4", .mount_options = "data=journal"});
    } else if (name == "tmpfs") {
      tmpfs_ = std::make_unique<TmpfsDir>();
    } else {
      ramfs_ = std::make_unique<RamDir>();
    }
  }
  std::string source() const {
    return disk_ ? disk_->path() : tmpfs_ ? tmpfs_->path() : ramfs_->path();
  }

 private:
  std::unique_ptr<Backing> disk_;
  std::unique_ptr<TmpfsDir> tmpfs_;
  std::unique_ptr<RamDir> ramfs_;
};

INSTANTIATE_TEST_SUITE_P(Backings, Fallback,
                         ::testing::Values(Case{"btrfs", "unproven"},
                                           Case{"ext4_journal", "unproven"},
                                           Case{"tmpfs", "unproven"}, Case{"ramfs", "refused"}),
                         [](const auto& test) { return std::string(test.param.name); });

TEST_P(Fallback, IsSaidInOptionsEventsAndXattrs) {
  const Mount mount(source());
  Events events(mount.path());
  for (const char* name : {"one", "two"}) write_file(mount / name, pattern(5000, 1));
  int told = 0;
  for (const auto& event : events.drain()) {
    if (event["action"] != "fallback") continue;
    ++told;
    EXPECT_TRUE(event["errno"].is_null()) << event;
    EXPECT_FALSE(event["reason"].get<std::string>().empty()) << event;
  }
  EXPECT_EQ(told, 1) << "once a device";
  const auto options = read_file(mount / ".alignfs/options");
  EXPECT_NE(options.find(std::string("direct_io=") + GetParam().verdict + "\n"), std::string::npos)
      << options;
  const auto alignment = get_xattr(mount / "one", "user.alignfs.alignment").value_or("");
  EXPECT_TRUE(alignment.starts_with("mem=512 offset=4096 read_offset=4096 source=fallback"))
      << alignment;
  const auto mode = get_xattr(mount / "one", "user.alignfs.mode").value_or("");
  EXPECT_NE(mode, "direct");
  EXPECT_NE(mode, "");
  EXPECT_NE(mount.log().find("warning"), std::string::npos) << mount.log();
}

TEST_P(Fallback, UnalignedRequestsGoDownAsTheyCame) {
  const Mount mount(source());
  const auto content = pattern(10'000, 2);
  write_file(mount / "file", content);
  const Fd fd = open_file(mount / "file", O_RDWR | O_DIRECT);
  std::string expected = content;
  expected.replace(777, 333, pattern(333, 3));
  ASSERT_EQ(pwrite(fd.get(), expected.data() + 777, 333, 777), 333);
  std::string got(4000, '\0');
  ASSERT_EQ(pread(fd.get(), got.data(), got.size(), 501), 4000);
  EXPECT_TRUE(same_bytes(got, expected.substr(501, 4000)));
  EXPECT_TRUE(same_bytes(read_file(source() + "/file"), expected));
  const Stats stats(mount.path());
  EXPECT_EQ(stats.sum("alignfs_backing_read_bytes_total", "write"), 0);
  EXPECT_EQ(stats.value("alignfs_requests_total", "write", "bounced"), 0);
}

TEST_P(Fallback, AStrictMountAssumesA4kDisk) {
  const Mount mount(source(), "unaligned=reject");
  AlignedBuffer buffer(8192);
  const Fd fd = open_file(mount / "file", O_RDWR | O_CREAT | O_DIRECT);
  EXPECT_EQ(pwrite(fd.get(), buffer.data(), 512, 0), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_NE(last_error(mount / "file").find("assumed"), std::string::npos)
      << last_error(mount / "file");
  EXPECT_EQ(pwrite(fd.get(), buffer.data(), 4096, 4096), 4096);
  EXPECT_EQ(size_of(source() + "/file"), 8192);
}

TEST_P(Fallback, RequireDirectRefusesTheMount) {
  const TempDir mountpoint;
  const auto outcome = run({alignfs_binary(), "-o", "require_direct", source(), mountpoint.path()});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.err.find("require_direct"), std::string::npos) << outcome.err;
  EXPECT_FALSE(is_mounted(mountpoint.path()));
}

class RequireDirect : public MountTest {};

TEST_F(RequireDirect, MountsWhereDirectIoIsProven) {
  const Backing backing(LoopDisk::Shape{});
  const Mount mount(backing.path(), "require_direct");
  write_file(mount / "file", "x");
  EXPECT_EQ(get_xattr(mount / "file", "user.alignfs.mode"), "direct");
}

}  // namespace
}  // namespace alignfs::test
