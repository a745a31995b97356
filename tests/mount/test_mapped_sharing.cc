// One mapping for all handles of a file, and none taken away from who reads by it.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "mount/support/crew.h"
#include "mount/support/fixture.h"
#include "mount/support/modes.h"

namespace alignfs::test {
namespace {

class MappedSharing : public MountTest, protected BackingAndMount {
 protected:
  void SetUp() override {
    MountTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    backing_ = std::make_unique<Backing>(LoopDisk::Shape{});
    mount_ = std::make_unique<Mount>(backing_->path(), kMapped.options);
  }

  double mappings() const { return Stats(mount_->path()).gauge("alignfs_mappings"); }
};

TEST_F(MappedSharing, AllHandlesOfAFileReadByOneMapping) {
  const auto content = pattern(100'000, 1);
  write_file(backing("file"), content);
  ASSERT_EQ(link(backing("file").c_str(), backing("other name").c_str()), 0);
  std::vector<Fd> handles;
  handles.push_back(open_file(mounted("file"), O_RDONLY));
  handles.push_back(open_file(mounted("file"), O_RDWR));
  handles.push_back(open_file(mounted("other name"), O_RDONLY));
  for (const Fd& handle : handles) {
    EXPECT_TRUE(same_bytes(try_pread(handle, 50'000, 1000), content.substr(50'000, 1000)));
    EXPECT_EQ(mappings(), 1);
  }
  handles.erase(handles.begin());
  EXPECT_TRUE(same_bytes(try_pread(handles[0], 100, 1000), content.substr(100, 1000)));
  EXPECT_EQ(mappings(), 1) << "the one who made it has gone";
  handles.clear();
  EXPECT_TRUE(eventually([&] { return mappings() == 0; }));
}

/// A file that doubles is mapped anew while others copy from the mapping it had.
TEST_F(MappedSharing, ReadersKeepAMappingThatIsReplaced) {
  constexpr std::size_t kRead = 1 << 20;
  // A machine with little memory maps no more of one file.
  constexpr off_t kLargest = off_t{4} << 30;
  const std::string content(kRead, 'A');
  double most = 0;
  for (unsigned round = 0; round < (sanitized() ? 10 : 60); ++round) {
    write_file(backing("file"), content);
    const Fd fd = open_file(mounted("file"), O_RDWR);
    Crew readers;
    for (int i = 0; i < 4; ++i) {
      readers.add([&, bytes = std::string(kRead, '\0')](unsigned) mutable -> std::string {
        const ssize_t got = pread(fd.get(), bytes.data(), kRead, 0);
        if (got != ssize_t{kRead}) return failed_call("pread", 0, kRead, got);
        return bytes == content ? "" : "wrong bytes";
      });
    }
    for (off_t size = kRead; size < kLargest && !readers.stopping(); size *= 2) {
      ASSERT_EQ(ftruncate(fd.get(), 2 * size), 0);
      char byte = 1;
      ASSERT_EQ(pread(fd.get(), &byte, 1, size + 5), 1);
      ASSERT_EQ(byte, 0);
    }
    most = std::max(most, Stats(mount_->path()).gauge("alignfs_mapped_bytes"));
    ASSERT_EQ(readers.finish(), "") << "in round " << round;
  }
  EXPECT_GE(most, double(kLargest)) << "it was to be mapped as it grew";
}

}  // namespace
}  // namespace alignfs::test
