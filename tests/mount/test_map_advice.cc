// -o map_advice and -o map_populate reach the mapping of each file.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "mount/support/fixture.h"
#include "mount/support/modes.h"
#include "mount/support/page_cache.h"

namespace alignfs::test {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kPages = 128;

/// The flags of the memory in which `pid` maps the file that `path` names: "sr", "rr", ... as in
/// proc(5).
std::vector<std::string> flags_of_mapping(pid_t pid, const std::string& path) {
  std::ifstream maps("/proc/" + std::to_string(pid) + "/smaps");
  bool of_the_file = false;
  for (std::string line; std::getline(maps, line);) {
    if (line.find(" /") != std::string::npos) of_the_file = line.ends_with(path);
    if (!of_the_file || !line.starts_with("VmFlags:")) continue;
    std::istringstream words(line.substr(8));
    return {std::istream_iterator<std::string>(words), {}};
  }
  return {};
}

bool contains(const std::vector<std::string>& list, const char* word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

std::uint64_t pages_cached(const std::string& path) { return page_cache_of(path).cached; }

class MapAdviceTest : public MountTest, protected BackingAndMount {
 protected:
  void SetUp() override {
    MountTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    backing_ = std::make_unique<Backing>(LoopDisk::Shape{});
  }

  /// Reads the last byte of a file that is not cached on a mount with `option`.
  void read_cold(const std::string& option) {
    write_file(backing("file"), pattern(kPages * kPage, 1));
    ASSERT_EQ(pages_cached(backing("file")), 0u);
    fd_.close();
    mount_.reset();
    mount_ = std::make_unique<Mount>(backing_->path(), kMapped.with(option));
    fd_ = open_file(mounted("file"), O_RDONLY);
    char byte = 0;
    ASSERT_EQ(pread(fd_.get(), &byte, 1, kPages * kPage - 1), 1);
  }
  std::vector<std::string> flags() { return flags_of_mapping(mount_->pid(), backing("file")); }

  Fd fd_;
};

TEST_F(MapAdviceTest, TheKernelIsToldHowFilesAreRead) {
  read_cold("map_advice=normal");
  ASSERT_TRUE(contains(flags(), "rd")) << "it was to be mapped";
  EXPECT_FALSE(contains(flags(), "sr"));
  EXPECT_FALSE(contains(flags(), "rr"));
  read_cold("map_advice=sequential");
  EXPECT_TRUE(contains(flags(), "sr"));
  read_cold("map_advice=random");
  EXPECT_TRUE(contains(flags(), "rr"));
}

TEST_F(MapAdviceTest, WillneedReadsAheadOfTheFirstByte) {
  read_cold("map_advice=random");
  EXPECT_LT(pages_cached(backing("file")), kPages / 2);
  read_cold("map_advice=willneed");
  EXPECT_TRUE(eventually([&] { return pages_cached(backing("file")) == kPages; }))
      << pages_cached(backing("file"));
}

/// It is there when the first read returns, and the daemon has it in its page tables.
TEST_F(MapAdviceTest, PopulateHasTheFileReadByTheFirstByte) {
  read_cold("map_advice=random,map_populate");
  EXPECT_EQ(pages_cached(backing("file")), kPages);
}

}  // namespace
}  // namespace alignfs::test
