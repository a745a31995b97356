#include "alignfs/io/range_lock.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "alignfs/base/task.h"
#include "random_case.h"

namespace alignfs {
namespace {

/// A holder that stays until told to let go.
struct Gate {
  std::coroutine_handle<> handle;
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> waiting) { handle = waiting; }
  void await_resume() const {}
};

class Holder {
 public:
  Holder(RangeLock& lock, Range range, bool exclusive) { hold(lock, range, exclusive); }
  bool granted() const { return granted_; }
  void let_go() { gate_.handle.resume(); }

 private:
  Detached hold(RangeLock& lock, Range range, bool exclusive) {
    RangeLock::Hold mine(lock, range, exclusive);
    co_await mine;
    granted_ = true;
    co_await gate_;
  }
  Gate gate_;
  bool granted_ = false;
};

TEST(RangeLock, SharedHoldersOverlap) {
  RangeLock lock;
  Holder one(lock, {0, 100}, false);
  Holder two(lock, {50, 150}, false);
  EXPECT_TRUE(one.granted());
  EXPECT_TRUE(two.granted());
  one.let_go();
  two.let_go();
}

TEST(RangeLock, ExclusiveWaitsForSharedAndTheOtherWayRound) {
  RangeLock lock;
  Holder shared(lock, {0, 100}, false);
  Holder exclusive(lock, {99, 200}, true);
  Holder late(lock, {199, 300}, false);
  EXPECT_FALSE(exclusive.granted());
  EXPECT_FALSE(late.granted());
  shared.let_go();
  EXPECT_TRUE(exclusive.granted());
  EXPECT_FALSE(late.granted());
  exclusive.let_go();
  EXPECT_TRUE(late.granted());
  late.let_go();
}

TEST(RangeLock, RangesThatOnlyTouchDoNotConflict) {
  RangeLock lock;
  Holder one(lock, {0, 4096}, true);
  Holder two(lock, {4096, 8192}, true);
  EXPECT_TRUE(two.granted());
  one.let_go();
  two.let_go();
}

TEST(RangeLock, ALaterSharedRequestDoesNotOvertakeAWaitingExclusiveOne) {
  RangeLock lock;
  Holder shared(lock, {0, 100}, false);
  Holder exclusive(lock, {0, 100}, true);
  Holder newcomer(lock, {0, 100}, false);
  EXPECT_FALSE(newcomer.granted());
  shared.let_go();
  EXPECT_TRUE(exclusive.granted());
  EXPECT_FALSE(newcomer.granted());
  exclusive.let_go();
  EXPECT_TRUE(newcomer.granted());
  newcomer.let_go();
}

TEST(RangeLock, TheWholeFileConflictsWithTheLastByte) {
  RangeLock lock;
  Holder last(lock, {~std::uint64_t{0} - 1, ~std::uint64_t{0}}, false);
  Holder whole(lock, RangeLock::kWholeFile, true);
  EXPECT_FALSE(whole.granted());
  last.let_go();
  EXPECT_TRUE(whole.granted());
  whole.let_go();
}

/// The part of the stack that coroutines ran on.
struct StackUse {
  std::uintptr_t lowest = ~std::uintptr_t{0};
  std::uintptr_t highest = 0;
  int visits = 0;
  void visit(const void* frame) {
    const auto address = reinterpret_cast<std::uintptr_t>(frame);
    lowest = std::min(lowest, address);
    highest = std::max(highest, address);
    ++visits;
  }
};

Detached note_stack(RangeLock& lock, StackUse& use) {
  RangeLock::Hold hold(lock, RangeLock::kWholeFile, true);
  co_await hold;
  use.visit(__builtin_frame_address(0));
}

TEST(RangeLock, WaitersAreNotResumedFromInsideEachOther) {
  RangeLock lock;
  Holder first(lock, RangeLock::kWholeFile, true);
  StackUse use;
  for (int i = 0; i < 2000; ++i) note_stack(lock, use);
  first.let_go();
  EXPECT_EQ(use.visits, 2000);
  // One inside the other they would take hundreds of bytes each.
  EXPECT_LT(use.highest - use.lowest, 4096U);
}

Detached increment(RangeLock& lock, Range range, int* cells, std::atomic<int>& left) {
  {
    RangeLock::Hold hold(lock, range, true);
    co_await hold;
    for (auto i = range.begin; i < range.end; ++i) {
      const int before = cells[i];
      std::this_thread::yield();
      cells[i] = before + 1;
    }
  }
  --left;
}

TEST(RangeLock, ThreadsLoseNoUpdates) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 500;
  constexpr int kCells = 8;
  RangeLock lock;
  int cells[kCells] = {};
  std::atomic<int> left{kThreads * kRounds};
  std::atomic<long> expected{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      test::Random random;
      for (int i = 0; i < t; ++i) random.between(0, 1);
      for (int round = 0; round < kRounds; ++round) {
        const ReadyQueue::Scope scope;
        const auto begin = random.between(0, kCells - 1);
        const auto end = random.between(begin + 1, kCells);
        expected += long(end - begin);
        increment(lock, {begin, end}, cells, left);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(left, 0);
  long total = 0;
  for (const int cell : cells) total += cell;
  EXPECT_EQ(total, expected);
}

}  // namespace
}  // namespace alignfs
