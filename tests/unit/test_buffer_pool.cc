#include "alignfs/io/buffer_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "alignfs/base/alignment.h"

namespace alignfs {
namespace {

TEST(BufferPool, BuffersAreOnPagesAndRoundedUpToThem) {
  BufferPool pool(5000, 2);
  const auto one = pool.acquire();
  const auto two = pool.acquire();
  EXPECT_TRUE(is_aligned(reinterpret_cast<std::uintptr_t>(one.data()), kPageSize));
  EXPECT_TRUE(is_aligned(reinterpret_cast<std::uintptr_t>(two.data()), kPageSize));
  EXPECT_NE(one.data(), two.data());
  EXPECT_EQ(pool.buffer_size(), 8192U);
}

TEST(BufferPool, TheLastOneReturnedIsTheNextOneOut) {
  BufferPool pool(4096, 4);
  auto one = pool.acquire();
  auto two = pool.acquire();
  const auto* last = two.data();
  one = {};
  two = {};
  EXPECT_EQ(pool.acquire().data(), last);
}

TEST(BufferPool, MapsOnlyWhatIsNeeded) {
  BufferPool pool(4096, 8);
  EXPECT_EQ(pool.mapped_bytes(), 0U);
  for (int i = 0; i < 5; ++i) pool.acquire();
  EXPECT_EQ(pool.mapped_bytes(), 4096U);
}

TEST(BufferPool, WaitsForABufferToComeBack) {
  BufferPool pool(4096, 1);
  auto held = pool.acquire();
  std::atomic<bool> got{false};
  std::thread waiter([&] {
    const auto lease = pool.acquire();
    got = true;
  });
  // Cannot be taken before it is given back; that it has not been yet needs no waiting to be true.
  EXPECT_FALSE(got);
  held = {};
  waiter.join();
  EXPECT_TRUE(got);
  EXPECT_EQ(pool.mapped_bytes(), 4096U);
}

/// The flags of the mapping that begins at `begin`, as proc(5) has them, with a space before each.
std::string flags_of_mapping(const std::byte* begin) {
  char wanted[32];
  std::snprintf(wanted, sizeof wanted, "%lx-", reinterpret_cast<unsigned long>(begin));
  std::ifstream maps("/proc/self/smaps");
  std::string line;
  bool inside = false;
  while (std::getline(maps, line)) {
    if (line.starts_with(wanted)) inside = true;
    if (inside && line.starts_with("VmFlags:")) return line;
  }
  return {};
}

TEST(BufferPool, BuffersStayOutOfForkedChildren) {
  BufferPool pool(4096, 1);
  const auto lease = pool.acquire();
  const auto flags = flags_of_mapping(lease.data());
  // "dc": do not copy the area on fork.
  EXPECT_NE(flags.find(" dc"), std::string::npos) << flags;
}

TEST(BufferPool, BuffersLieInHugePages) {
  if (!std::filesystem::exists("/sys/kernel/mm/transparent_hugepage")) {
    GTEST_SKIP() << "the kernel has no huge pages";
  }
  BufferPool pool(1 << 20, 4);
  const auto first = pool.acquire();
  const auto second = pool.acquire();
  EXPECT_TRUE(is_aligned(reinterpret_cast<std::uintptr_t>(first.data()), 2 << 20));
  EXPECT_EQ(second.data(), first.data() + (1 << 20));
  const auto flags = flags_of_mapping(first.data());
  // "hg": advised to be of huge pages.
  EXPECT_NE(flags.find(" hg"), std::string::npos) << flags;
}

TEST(BufferPool, WritesToAllItsBuffersAndNothingElse) {
  BufferPool pool(5000, 700);
  std::vector<BufferPool::Lease> leases;
  for (unsigned i = 0; i < 700; ++i) {
    leases.push_back(pool.acquire());
    std::memset(leases.back().data(), int(i % 251), pool.buffer_size());
  }
  for (unsigned i = 0; i < 700; ++i) {
    EXPECT_EQ(leases[i].data()[0], std::byte(i % 251));
    EXPECT_EQ(leases[i].data()[pool.buffer_size() - 1], std::byte(i % 251));
  }
  EXPECT_FALSE(pool.try_acquire());
}

}  // namespace
}  // namespace alignfs
