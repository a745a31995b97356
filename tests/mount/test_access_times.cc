// Access times of the backing: reads move them as they would there, unless the mount is not to.

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mount/support/fixture.h"
#include "mount/support/modes.h"

namespace alignfs::test {
namespace {

class AccessTimes : public ModeTest, protected BackingAndMount {
 protected:
  static constexpr time_t kLongAgo = 1'000'000;

  void SetUp() override {
    MountTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    backing_ = std::make_unique<Backing>(LoopDisk::Shape{});
    write_file(backing("file"), pattern(8192, 1));
    ASSERT_EQ(mkdir(backing("dir").c_str(), 0755), 0);
    write_file(backing("dir/entry"), "");
  }

  /// Whether a read of the file and a listing of the directory move their access times.
  struct Moved {
    bool file = false, directory = false;
    bool operator==(const Moved&) const = default;
  };
  Moved moved(const std::string& option) {
    for (const char* name : {"file", "dir"}) {
      // Older than the last change: relatime moves it.
      const timespec times[] = {{kLongAgo, 0}, {0, UTIME_OMIT}};
      EXPECT_EQ(utimensat(AT_FDCWD, backing(name).c_str(), times, 0), 0);
    }
    mount_ = std::make_unique<Mount>(backing_->path(), GetParam().with(option));
    EXPECT_EQ(read_file(mounted("file")).size(), 8192U);
    DIR* const directory = opendir(mounted("dir").c_str());
    EXPECT_NE(readdir(directory), nullptr);
    closedir(directory);
    mount_.reset();
    return {accessed("file"), accessed("dir")};
  }

 private:
  bool accessed(const std::string& name) const {
    struct stat status {};
    EXPECT_EQ(stat(backing(name).c_str(), &status), 0);
    return status.st_atime != kLongAgo;
  }
};

INSTANTIATE_TEST_SUITE_P(Modes, AccessTimes, ::testing::Values(kBounce, kSplit, kMapped, kBuffered),
                         mode_name);

TEST_P(AccessTimes, MoveUnlessTheMountIsNotTo) {
  const Moved both{true, true}, none{false, false};
  EXPECT_EQ(moved("atime"), both);
  EXPECT_EQ(moved("noatime"), none);
  EXPECT_EQ(moved("noatime,atime"), both);
  EXPECT_EQ(moved("ro"), none);
  EXPECT_EQ(moved("ro,rw"), both);
}

}  // namespace
}  // namespace alignfs::test
