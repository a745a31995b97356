// Maps of files, and their coherence with every other way to the bytes, in every mode.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "mount/support/fixture.h"
#include "mount/support/modes.h"

namespace alignfs::test {
namespace {

constexpr std::size_t kSize = 3 * 4096 + 500;

class Map {
 public:
  Map(const Fd& fd, std::size_t bytes, int protection, int sharing)
      : bytes_(bytes), address_(mmap(nullptr, bytes, protection, sharing, fd.get(), 0)) {
    if (address_ == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
  }
  ~Map() { munmap(address_, bytes_); }
  Map(const Map&) = delete;
  Map& operator=(const Map&) = delete;

  char* data() const { return static_cast<char*>(address_); }
  std::string_view view() const { return {data(), bytes_}; }
  int sync() const { return msync(address_, bytes_, MS_SYNC) == 0 ? 0 : errno; }

 private:
  std::size_t bytes_;
  void* address_;
};

struct Case {
  Mode mode;
  const char* filesystem = "ext4";
};

void PrintTo(const Case& value, std::ostream* out) {
  *out << value.mode << "_" << value.filesystem;
}

class MapOfFile : public MountTest, public ::testing::WithParamInterface<Case> {
 protected:
  void SetUp() override {
    MountTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    backing_ = std::make_unique<Backing>(LoopDisk::Shape{.filesystem = GetParam().filesystem});
    write_file(*backing_ / "file", content_);
    mount_ = std::make_unique<Mount>(backing_->path(), GetParam().mode.options);
    path_ = *mount_ / "file";
  }
  static bool strict() { return GetParam().mode.strict; }
  /// A read through the mount that a strict one lets pass.
  std::string read_through_mount() const {
    const Fd fd = open_file(path_, O_RDONLY);
    AlignedBuffer buffer(16384);
    const ssize_t got = pread(fd.get(), buffer.data(), 16384, 0);
    return got < 0 ? "errno " + std::to_string(errno) : buffer.text(static_cast<std::size_t>(got));
  }

  std::string content_ = pattern(kSize, 1);
  std::unique_ptr<Backing> backing_;
  std::unique_ptr<Mount> mount_;
  std::string path_;
};

INSTANTIATE_TEST_SUITE_P(Modes, MapOfFile,
                         ::testing::Values(Case{kBounce}, Case{kSplit}, Case{kReject},
                                           Case{kMapped}, Case{kBuffered}, Case{kMappedPassthrough},
                                           Case{kBufferedPassthrough}, Case{kBounce, "xfs"},
                                           Case{kMapped, "xfs"}),
                         [](const auto& test) {
                           return std::string(test.param.mode.name) + "_" + test.param.filesystem;
                         });

TEST_P(MapOfFile, SharedMapShowsTheFile) {
  const Fd fd = open_file(path_, O_RDONLY);
  const Map map(fd, kSize, PROT_READ, MAP_SHARED);
  EXPECT_TRUE(same_bytes(map.view(), content_));
}

TEST_P(MapOfFile, StoresAreSeenByReadsAndInTheBacking) {
  const Fd fd = open_file(path_, O_RDWR);
  {
    const Map map(fd, kSize, PROT_READ | PROT_WRITE, MAP_SHARED);
    std::memcpy(map.data() + 4090, "stored through the map", 22);
    content_.replace(4090, 22, "stored through the map");
    EXPECT_EQ(map.sync(), 0);
    EXPECT_TRUE(same_bytes(read_through_mount(), content_));
    EXPECT_TRUE(same_bytes(read_file(*backing_ / "file"), content_));
    map.data()[0] = 'x';
    content_[0] = 'x';
  }
  ASSERT_EQ(fsync(fd.get()), 0);
  EXPECT_TRUE(same_bytes(read_through_mount(), content_));
  EXPECT_TRUE(same_bytes(read_file(*backing_ / "file"), content_));
}

TEST_P(MapOfFile, StoresAreSeenAtOnceByReadsThroughTheMount) {
  const Fd fd = open_file(path_, O_RDWR);
  const Map map(fd, kSize, PROT_READ | PROT_WRITE, MAP_SHARED);
  for (char value = 'a'; value < 'z'; ++value) {
    map.data()[5000] = value;
    content_[5000] = value;
    ASSERT_TRUE(same_bytes(read_through_mount(), content_)) << value;
  }
}

TEST_P(MapOfFile, WritesThroughTheMountAreSeenInTheMapAtOnce) {
  const Fd fd = open_file(path_, O_RDWR | O_DIRECT);
  const Map map(fd, kSize, PROT_READ, MAP_SHARED);
  EXPECT_TRUE(same_bytes(map.view(), content_));
  AlignedBuffer buffer(4096);
  for (unsigned i = 0; i < 20; ++i) {
    buffer.fill(pattern(4096, 100 + i));
    ASSERT_EQ(pwrite(fd.get(), buffer.data(), 4096, 4096), 4096);
    content_.replace(4096, 4096, pattern(4096, 100 + i));
    ASSERT_TRUE(same_bytes(map.view(), content_)) << i;
  }
}

TEST_P(MapOfFile, UnalignedWritesAreSeenInTheMapAtOnce) {
  if (strict()) return;  // it would refuse them
  const Fd fd = open_file(path_, O_RDWR);
  const Map map(fd, kSize, PROT_READ, MAP_SHARED);
  EXPECT_TRUE(same_bytes(map.view(), content_));
  for (const off_t offset : {10, 4000, 8190, 12'300}) {
    ASSERT_EQ(pwrite(fd.get(), "unaligned", 9, offset), 9);
    content_.replace(static_cast<std::size_t>(offset), 9, "unaligned");
    ASSERT_TRUE(same_bytes(map.view(), content_)) << offset;
  }
}

TEST_P(MapOfFile, StoresAndWritesToOneBlockKeepEachOther) {
  if (strict()) return;
  const Fd fd = open_file(path_, O_RDWR);
  const Map map(fd, kSize, PROT_READ | PROT_WRITE, MAP_SHARED);
  for (unsigned i = 0; i < 100; ++i) {
    map.data()[4096 + i] = static_cast<char>(i);
    content_[4096 + i] = static_cast<char>(i);
    const char byte = static_cast<char>(i + 1);
    const std::size_t offset = 4096 + 500 + i;
    ASSERT_EQ(pwrite(fd.get(), &byte, 1, static_cast<off_t>(offset)), 1);
    content_[offset] = byte;
    ASSERT_TRUE(same_bytes(map.view(), content_)) << i;
  }
  EXPECT_EQ(map.sync(), 0);
  EXPECT_TRUE(same_bytes(read_file(*backing_ / "file"), content_));
}

TEST_P(MapOfFile, PrivateMapKeepsItsChangesToItself) {
  const Fd fd = open_file(path_, O_RDONLY);
  const Map map(fd, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  EXPECT_TRUE(same_bytes(map.view(), content_));
  std::memset(map.data(), 'p', 100);
  EXPECT_EQ(map.sync(), 0);
  EXPECT_TRUE(same_bytes(read_through_mount(), content_));
  EXPECT_TRUE(same_bytes(read_file(*backing_ / "file"), content_));
}

TEST_P(MapOfFile, TwoOpensShareOneMap) {
  const Fd first = open_file(path_, O_RDWR);
  const Fd second = open_file(path_, O_RDWR);
  const Map one(first, kSize, PROT_READ | PROT_WRITE, MAP_SHARED);
  const Map two(second, kSize, PROT_READ | PROT_WRITE, MAP_SHARED);
  one.data()[77] = '1';
  two.data()[9000] = '2';
  EXPECT_EQ(two.data()[77], '1');
  EXPECT_EQ(one.data()[9000], '2');
}

TEST_P(MapOfFile, MapOutlivesItsDescriptorAndTheName) {
  std::unique_ptr<Map> map;
  {
    const Fd fd = open_file(path_, O_RDWR);
    map = std::make_unique<Map>(fd, kSize, PROT_READ | PROT_WRITE, MAP_SHARED);
  }
  ASSERT_EQ(unlink(path_.c_str()), 0);
  map->data()[3] = '!';
  content_[3] = '!';
  EXPECT_TRUE(same_bytes(map->view(), content_));
  EXPECT_EQ(map->sync(), 0);
}

TEST_P(MapOfFile, MapGrowsWithTheFile) {
  const Fd fd = open_file(path_, O_RDWR);
  const Map map(fd, 32768, PROT_READ, MAP_SHARED);
  EXPECT_EQ(map.data()[0], content_[0]);
  ASSERT_EQ(ftruncate(fd.get(), 16384), 0);
  AlignedBuffer buffer(8192);
  buffer.fill(pattern(8192, 7));
  ASSERT_EQ(pwrite(fd.get(), buffer.data(), 8192, 16384), 8192);
  EXPECT_TRUE(same_bytes(map.view().substr(16384, 8192), buffer.view(8192)));
}

/// As root the kernel lets a map of a file on the mount be one of the backing file itself.
TEST_P(MapOfFile, MapAndBackingAreOneToRoot) {
  const Fd fd = open_file(path_, O_RDWR);
  const Map map(fd, kSize, PROT_READ | PROT_WRITE, MAP_SHARED);
  map.data()[100] = 'M';
  const Fd inside = open_file(*backing_ / "file", O_RDWR);
  char byte = 0;
  ASSERT_EQ(pread(inside.get(), &byte, 1, 100), 1);
  EXPECT_EQ(byte, 'M') << "a store seen in the backing without msync";
  ASSERT_EQ(pwrite(inside.get(), "B", 1, 200), 1);
  EXPECT_EQ(map.data()[200], 'B') << "a write to the backing seen in the map";
}

}  // namespace
}  // namespace alignfs::test
