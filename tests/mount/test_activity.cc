// .alignfs/activity: who moves how much of what, and what became of it below.

#include <fcntl.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "mount/support/fixture.h"
#include "mount/support/modes.h"

namespace alignfs::test {
namespace {

using Json = nlohmann::json;

/// The row of this process and `path` in .alignfs/activity; null if there is none.
Json activity_of(const std::string& mountpoint, const std::string& path) {
  std::istringstream lines(read_file(mountpoint + "/.alignfs/activity"));
  for (std::string line; std::getline(lines, line);) {
    const auto row = Json::parse(line);
    if (row.value("pid", 0) == getpid() && row.value("path", "") == path) return row;
  }
  return nullptr;
}

class ActivityOnMount : public ModeTest {};

INSTANTIATE_TEST_SUITE_P(Modes, ActivityOnMount,
                         ::testing::Values(kBounce, kSplit, kReject, kMapped, kBuffered),
                         mode_name);

TEST_P(ActivityOnMount, TellsWhatBecameOfAWriteBelow) {
  Backing backing(LoopDisk::Shape{});
  write_file(backing / "file", pattern(16384, 1));
  Mount mount(backing.path(), GetParam().options);
  EXPECT_EQ(activity_of(mount.path(), "/file"), nullptr);
  {
    const Fd fd = open_file(mount / "file", O_RDWR | O_DIRECT);
    AlignedBuffer buffer(4096);
    EXPECT_EQ(pwrite(fd.get(), buffer.data(), 100, 1), strict() ? -1 : 100);
  }
  const auto row = activity_of(mount.path(), "/file");
  ASSERT_TRUE(row.is_object());
  EXPECT_GT(row["write"]["nanoseconds"], 0);
  auto write = row["write"];
  write.erase("nanoseconds");
  const auto expected = [](int bytes, int read, int written, int cached, int adapted,
                           int rejected) {
    return Json{{"requests", 1},        {"bytes", bytes},
                {"backing_read", read}, {"backing_write", written},
                {"page_cache", cached}, {"adapted", adapted},
                {"rejected", rejected}, {"errors", 0}};
  };
  const std::string mode = GetParam().name;
  EXPECT_EQ(write, mode == kBounce.name  ? expected(100, 4096, 4096, 0, 1, 0)
                   : mode == kSplit.name ? expected(100, 0, 100, 100, 1, 0)
                   : strict()            ? expected(0, 0, 0, 0, 0, 1)
                                         : expected(100, 0, 100, 100, 0, 0));
}

}  // namespace
}  // namespace alignfs::test
