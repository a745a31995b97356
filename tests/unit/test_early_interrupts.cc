#include "alignfs/fuse/early_interrupts.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace alignfs {
namespace {

TEST(EarlyInterrupts, AreKeptUntilTheyAreTaken) {
  EarlyInterrupts interrupts;
  EXPECT_FALSE(interrupts.any());
  interrupts.add(8);
  interrupts.add(10);
  EXPECT_TRUE(interrupts.any());
  EXPECT_FALSE(interrupts.take(12));
  EXPECT_TRUE(interrupts.take(8));
  EXPECT_FALSE(interrupts.take(8));
  EXPECT_TRUE(interrupts.any());
  EXPECT_TRUE(interrupts.take(10));
  EXPECT_FALSE(interrupts.any());
}

TEST(EarlyInterrupts, TheOldestMakeRoom) {
  EarlyInterrupts interrupts;
  for (std::uint64_t unique = 1; unique <= EarlyInterrupts::kMost + 1; ++unique) {
    interrupts.add(unique);
  }
  EXPECT_FALSE(interrupts.take(1));
  EXPECT_TRUE(interrupts.take(2));
  EXPECT_TRUE(interrupts.take(EarlyInterrupts::kMost + 1));
}

TEST(EarlyInterrupts, OneOfManyTakesEach) {
  constexpr std::uint64_t kCount = 200;
  EarlyInterrupts interrupts;
  for (std::uint64_t unique = 1; unique <= kCount; ++unique) interrupts.add(unique);
  std::atomic<std::uint64_t> taken{0};
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (std::uint64_t unique = 1; unique <= kCount; ++unique) taken += interrupts.take(unique);
    });
  }
  threads.clear();
  EXPECT_EQ(taken, kCount);
  EXPECT_FALSE(interrupts.any());
}

}  // namespace
}  // namespace alignfs
