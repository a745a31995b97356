#include "alignfs/io/mapping.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "alignfs/base/alignment.h"
#include "alignfs/base/unique_fd.h"

namespace alignfs {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;
constexpr Mapper::Limits kPlenty{.mappings = 100, .bytes = 1ull << 40, .eager_bytes = kMiB};

UniqueFd file_of(std::uint64_t size) {
  UniqueFd fd(::memfd_create("file", MFD_CLOEXEC));
  EXPECT_EQ(::ftruncate(fd.get(), off_t(size)), 0);
  return fd;
}

/// The line of /proc/self/smaps with the flags of the area that begins at `address`.
std::string flags_of(const void* address) {
  char begin[32];
  std::snprintf(begin, sizeof begin, "%lx-", reinterpret_cast<unsigned long>(address));
  std::ifstream maps("/proc/self/smaps");
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    inside = inside || line.starts_with(begin);
    if (inside && line.starts_with("VmFlags:")) return line + " ";
  }
  return "";
}

/// Where the area that begins at `address` ends, by /proc/self/maps.
const std::byte* end_of(const void* address) {
  char begin[32];
  std::snprintf(begin, sizeof begin, "%lx-", reinterpret_cast<unsigned long>(address));
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (!line.starts_with(begin)) continue;
    return reinterpret_cast<const std::byte*>(
        std::stoul(line.substr(std::strlen(begin)), nullptr, 16));
  }
  return nullptr;
}

TEST(Mapping, ReachesAheadOfTheFile) {
  Mapper mapper(MapAdvice::normal, false, kPlenty);
  constexpr std::uint64_t kGiB = 1ull << 30;
  const std::pair<std::uint64_t, std::uint64_t> cases[] = {
      {0, kPageSize + kMiB},
      {1, kPageSize + kMiB},
      {300'000, align_up(300'000, kPageSize) + kMiB},
      {5 * kMiB + 1, 2 * (5 * kMiB + kPageSize)},
      {3 * kGiB, 4 * kGiB},
  };
  for (const auto& [size, length] : cases) {
    const auto fd = file_of(size);
    const auto map = mapper.map(fd.get(), size, 0);
    ASSERT_TRUE(map.ok());
    EXPECT_EQ((*map)->length(), length) << size;
  }
}

TEST(Mapping, ShowsWhatTheFileGrowsBy) {
  Mapper mapper(MapAdvice::normal, false, kPlenty);
  const auto fd = file_of(10);
  const auto map = mapper.map(fd.get(), 10, 0);
  ASSERT_TRUE(map.ok());
  ASSERT_GE((*map)->length(), 500'005U);
  ASSERT_EQ(::pwrite(fd.get(), "grown", 5, 500'000), 5);
  EXPECT_EQ(std::memcmp((*map)->data() + 500'000, "grown", 5), 0);
}

TEST(Mapping, IsCountedWhileItLives) {
  Mapper mapper(MapAdvice::normal, false, kPlenty);
  const auto fd = file_of(5 * kMiB);
  {
    const auto one = mapper.map(fd.get(), 5 * kMiB, 0);
    const auto two = mapper.map(fd.get(), 10, 0);
    ASSERT_TRUE(one.ok() && two.ok());
    EXPECT_EQ(mapper.mappings(), 2U);
    EXPECT_EQ(mapper.mapped_bytes(), 11 * kMiB + kPageSize);
  }
  EXPECT_EQ(mapper.mappings(), 0U);
  EXPECT_EQ(mapper.mapped_bytes(), 0U);
}

TEST(Mapping, NoMoreThanTheLimit) {
  Mapper mapper(MapAdvice::normal, false,
                {.mappings = 2, .bytes = kPlenty.bytes, .eager_bytes = kMiB});
  const auto fd = file_of(10);
  auto one = mapper.map(fd.get(), 10, 0);
  const auto two = mapper.map(fd.get(), 10, 0);
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_FALSE(mapper.has_room(0));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(mapper.map(fd.get(), 10, 0).code(), ENFILE);
  EXPECT_EQ(mapper.mappings(), 2U);
  (*one).reset();
  EXPECT_TRUE(mapper.map(fd.get(), 10, 0).ok());
}

TEST(Mapping, IsTheBeginningOfTheFileWhereAddressSpaceRunsShort) {
  constexpr std::uint64_t kLimit = 64 * kMiB, kSize = 200 * kMiB;
  Mapper mapper(MapAdvice::normal, false, {.mappings = 100, .bytes = kLimit, .eager_bytes = kMiB});
  const auto fd = file_of(kSize);
  const auto map = mapper.map(fd.get(), kSize, 0);
  ASSERT_TRUE(map.ok());
  EXPECT_EQ((*map)->length(), kLimit / 4);
  EXPECT_EQ(mapper.mapped_bytes(), (*map)->length());

  const auto other = mapper.map(fd.get(), 10, 0);
  EXPECT_TRUE(other.ok()) << "one huge file leaves room for others";
  EXPECT_FALSE(mapper.has_room(kLimit / 4));
  EXPECT_TRUE(mapper.has_room(kLimit / 8));
  EXPECT_EQ(mapper.map(fd.get(), kSize, kLimit).code(), ENFILE) << "less than asked for";
}

TEST(Mapping, FilesInNumbersKeepToTheAddressSpace) {
  constexpr std::uint64_t kLimit = 64 * kMiB;
  Mapper mapper(MapAdvice::normal, false, {.mappings = 1000, .bytes = kLimit, .eager_bytes = kMiB});
  const auto fd = file_of(3 * kMiB);
  std::vector<std::shared_ptr<const Mapping>> maps;
  for (int i = 0; i < 200; ++i) {
    auto map = mapper.map(fd.get(), 3 * kMiB, 3 * kMiB);
    if (!map) {
      EXPECT_EQ(map.code(), ENFILE);
      break;
    }
    maps.push_back(*std::move(map));
    ASSERT_LE(mapper.mapped_bytes(), kLimit);
  }
  EXPECT_GE(maps.size(), 7U) << "until a quarter of the rest is less than 3 MiB";
  EXPECT_LT(maps.size(), 200U);
  EXPECT_EQ(mapper.mappings(), maps.size());
}

TEST(Mapping, LimitsHoldForThreadsTogether) {
  constexpr std::uint64_t kLimit = 32 * kMiB;
  Mapper mapper(MapAdvice::normal, false, {.mappings = 5, .bytes = kLimit, .eager_bytes = kMiB});
  const auto fd = file_of(kMiB);
  std::atomic<unsigned> beyond{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 2000; ++round) {
        const auto one = mapper.map(fd.get(), kMiB, 0);
        const auto two = mapper.map(fd.get(), kMiB, 0);
        beyond += mapper.mapped_bytes() > kLimit;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(beyond, 0U);
  EXPECT_EQ(mapper.mappings(), 0U);
  EXPECT_EQ(mapper.mapped_bytes(), 0U);
}

TEST(Mapping, WhatCannotBeMappedSaysWhyAndIsNotCounted) {
  Mapper mapper(MapAdvice::normal, false, kPlenty);
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd from(ends[0]), to(ends[1]);
  EXPECT_EQ(mapper.map(from.get(), 10, 0).code(), ENODEV);
  const auto fd = file_of(10);
  const std::string path = "/proc/self/fd/" + std::to_string(fd.get());
  const UniqueFd writer(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  EXPECT_EQ(mapper.map(writer.get(), 10, 0).code(), EACCES);
  EXPECT_EQ(mapper.mappings(), 0U);
  EXPECT_EQ(mapper.mapped_bytes(), 0U);
}

TEST(Mapping, AdviceReachesTheKernel) {
  const auto fd = file_of(10);
  const auto flags = [&](MapAdvice advice) {
    Mapper mapper(advice, false, kPlenty);
    const auto map = mapper.map(fd.get(), 10, 0);
    if (!map) return std::string();
    mapper.advise(**map, 10);
    // The room ahead is told too: the area was not split.
    EXPECT_EQ(end_of((*map)->data()), (*map)->data() + (*map)->length());
    return flags_of((*map)->data());
  };
  EXPECT_EQ(flags(MapAdvice::normal).find(" sr "), std::string::npos);
  EXPECT_EQ(flags(MapAdvice::normal).find(" rr "), std::string::npos);
  EXPECT_NE(flags(MapAdvice::sequential).find(" sr "), std::string::npos);
  EXPECT_NE(flags(MapAdvice::random).find(" rr "), std::string::npos);
}

TEST(Mapping, PopulateTouchesThePagesOfTheFileAlone) {
  const auto pages_in = [](const Mapping& map) {
    std::vector<unsigned char> state(map.length() / kPageSize);
    EXPECT_EQ(::mincore(const_cast<std::byte*>(map.data()), map.length(), state.data()), 0);
    std::size_t count = 0;
    for (const auto one : state) count += one & 1;
    return count;
  };
  const auto fd = file_of(10 * kPageSize);
  Mapper lazy(MapAdvice::normal, false, kPlenty);
  const auto untouched = lazy.map(fd.get(), 10 * kPageSize, 0);
  ASSERT_TRUE(untouched.ok());
  EXPECT_EQ(pages_in(**untouched), 0U);
  Mapper eager(MapAdvice::normal, true, kPlenty);
  const auto touched = eager.map(fd.get(), 10 * kPageSize, 0);
  ASSERT_TRUE(touched.ok());
  eager.advise(**touched, 10 * kPageSize);
  EXPECT_EQ(pages_in(**touched), 10U);
}

}  // namespace
}  // namespace alignfs
