// The one mapping of an open inode: on a real filesystem, because in memory nothing is mapped.

#include "alignfs/file/mapped_inode.h"

#include "alignfs/io/filesystem_kind.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "mount/support/fixture.h"
#include "mount/support/soft_limit.h"

namespace alignfs::test {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;

class MappedInodeTest : public MountTest {
 protected:
  void SetUp() override {
    MountTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    backing_ = std::make_unique<Backing>(LoopDisk::Shape{});
    write_file(*backing_ / "file", "0123456789");
    file_ = open_file(*backing_ / "file", O_RDWR);
    anchor_ = open_file(*backing_ / "file", O_PATH);
  }

  void resize(std::uint64_t size) { EXPECT_EQ(ftruncate(file_.get(), off_t(size)), 0); }
  std::shared_ptr<const Mapping> mapping(std::uint64_t size) {
    return inode_.mapping(mapper_, anchor_.get(), size, &error_);
  }

  std::unique_ptr<Backing> backing_;
  Fd file_, anchor_;
  Mapper mapper_{
      MapAdvice::normal, false, {.mappings = 4, .bytes = 1ull << 40, .eager_bytes = kMiB}};
  MappedInode inode_;
  int error_ = 0;
};

TEST_F(MappedInodeTest, OneMappingServesEverybodyWhileItReachesFarEnough) {
  const auto first = mapping(10);
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(mapping(1000), first);
  EXPECT_EQ(mapping(first->length()), first);
  EXPECT_EQ(mapping(0), first);
  EXPECT_EQ(error_, 0);
  EXPECT_EQ(mapper_.mappings(), 1u);
}

TEST_F(MappedInodeTest, IsMadeAnewOnceEachTimeTheFileDoubles) {
  std::set<std::uint64_t> lengths;
  for (std::uint64_t size = 4096; size <= 256 * kMiB; size += std::uint64_t{16} * 4096) {
    const auto map = mapping(size);
    ASSERT_NE(map, nullptr);
    ASSERT_GE(map->length(), size);
    lengths.insert(map->length());
  }
  EXPECT_GE(lengths.size(), 6u);
  EXPECT_LE(lengths.size(), 10u);
  EXPECT_EQ(mapper_.mappings(), 1u);
}

TEST_F(MappedInodeTest, AMappingInUseOutlivesTheOneThatReplacesIt) {
  auto old = mapping(10);
  ASSERT_NE(old, nullptr);
  resize(5 * kMiB);
  const auto now = mapping(5 * kMiB);
  ASSERT_NE(now, nullptr);
  EXPECT_NE(now, old);
  EXPECT_EQ(mapper_.mappings(), 2u);
  EXPECT_EQ(std::memcmp(old->data(), "0123456789", 10), 0);
  old.reset();
  EXPECT_EQ(mapper_.mappings(), 1u);
}

TEST_F(MappedInodeTest, WhatCannotBeMappedIsTriedOnceAndToldOnce) {
  const TmpfsDir memory;
  write_file(memory.path() + "/file", "0123456789");
  const Fd other = open_file(memory.path() + "/file", O_PATH);
  EXPECT_FALSE(is_local_disk_filesystem(other.get()));
  EXPECT_TRUE(is_local_disk_filesystem(anchor_.get()));
  EXPECT_EQ(inode_.mapping(mapper_, other.get(), 10, &error_), nullptr);
  EXPECT_EQ(error_, ENODEV);
  EXPECT_EQ(mapping(10), nullptr) << "it could be, but is not tried again";
  EXPECT_EQ(error_, 0) << "nothing new";
  EXPECT_EQ(inode_.error(), ENODEV);
}

TEST_F(MappedInodeTest, AtTheLimitItIsTriedAgain) {
  std::vector<std::unique_ptr<MappedInode>> others(4);
  for (auto& other : others) {
    other = std::make_unique<MappedInode>();
    ASSERT_NE(other->mapping(mapper_, anchor_.get(), 10, &error_), nullptr);
  }
  EXPECT_EQ(mapping(10), nullptr);
  EXPECT_EQ(error_, ENFILE);
  EXPECT_EQ(mapping(10), nullptr);
  EXPECT_EQ(error_, 0) << "told once";
  EXPECT_EQ(fallback_for(inode_.error()), Fallback::mapping_limit);
  // A file that is mapped keeps what it has, which serves the beginning of what was asked for.
  resize(5 * kMiB);
  const auto kept = others[0]->mapping(mapper_, anchor_.get(), 5 * kMiB, &error_);
  ASSERT_NE(kept, nullptr);
  EXPECT_LT(kept->length(), 5 * kMiB);
  EXPECT_EQ(error_, ENFILE);
  others[1].reset();
  EXPECT_NE(mapping(10), nullptr) << "another file has been closed";
  EXPECT_EQ(error_, 0);
  EXPECT_EQ(inode_.error(), 0);
}

TEST_F(MappedInodeTest, AFileThatCouldNotBeOpenedIsTriedAgain) {
  {
    const SoftLimit none(RLIMIT_NOFILE, 0);
    EXPECT_EQ(mapping(10), nullptr);
    EXPECT_EQ(error_, EMFILE);
    EXPECT_EQ(fallback_for(inode_.error()), Fallback::mapping_failed);
    EXPECT_EQ(mapping(10), nullptr);
    EXPECT_EQ(error_, 0) << "told once";
  }
  EXPECT_NE(mapping(10), nullptr) << "there are descriptors again";
  EXPECT_EQ(inode_.error(), 0);
}

TEST_F(MappedInodeTest, ThreadsGetOneMapping) {
  std::vector<std::thread> threads;
  std::atomic<unsigned> wrong{0};
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (std::uint64_t size = 4096; size < 64 * kMiB; size += std::uint64_t{50} * 4096) {
        int error = 0;
        const auto map = inode_.mapping(mapper_, anchor_.get(), size, &error);
        wrong += !map || map->length() < size || error != 0;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(mapper_.mappings(), 1u);
}

/// A mapping made from a writer's descriptor would keep the file open for writing.
TEST_F(MappedInodeTest, HoldsOffNoLease) {
  ASSERT_NE(mapping(10), nullptr);
  file_.close();
  const Fd reader = open_file(*backing_ / "file", O_RDONLY);
  EXPECT_EQ(fcntl(reader.get(), F_SETLEASE, F_RDLCK), 0) << "errno " << errno;
}

TEST_F(MappedInodeTest, AnAccessIsDueOnceATick) {
  const auto clock = [] {
    timespec now{};
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return now.tv_nsec;
  };
  int within = 0;
  for (int tick = 0; tick < 5; ++tick) {
    const auto before = clock();
    while (clock() == before) std::this_thread::yield();
    EXPECT_TRUE(inode_.access_due());
    within += !inode_.access_due();
  }
  EXPECT_GE(within, 1) << "a tick takes longer than two calls";
}

}  // namespace
}  // namespace alignfs::test
