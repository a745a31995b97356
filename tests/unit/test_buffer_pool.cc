#include "alignfs/io/buffer_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <fstream>
#include <string>
#include <thread>

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

TEST(BufferPool, BuffersStayOutOfForkedChildren) {
  BufferPool pool(4096, 1);
  const auto lease = pool.acquire();
  char begin[32];
  std::snprintf(begin, sizeof begin, "%lx-", reinterpret_cast<unsigned long>(lease.data()));
  std::ifstream maps("/proc/self/smaps");
  std::string line;
  bool inside = false;
  std::string flags;
  while (std::getline(maps, line)) {
    if (line.starts_with(begin)) inside = true;
    if (inside && line.starts_with("VmFlags:")) {
      flags = line;
      break;
    }
  }
  // "dc": do not copy the area on fork, see proc(5).
  EXPECT_NE(flags.find(" dc"), std::string::npos) << flags;
}

}  // namespace
}  // namespace alignfs
