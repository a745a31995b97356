#include "alignfs/fuse/placement.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <latch>
#include <thread>
#include <utility>

#include "alignfs/report/caller.h"
#include "unit/processors.h"

namespace {

/// What a test does before its thread asks for another policy, once.
thread_local std::function<void()> before_policy_is_set;

}  // namespace

// In the place of that of libc, for all of this program.
extern "C" int sched_setscheduler(pid_t tid, int policy, const sched_param* parameter) noexcept {
  if (const auto once = std::exchange(before_policy_is_set, nullptr)) once();
  return int(::syscall(SYS_sched_setscheduler, tid, policy, parameter));
}

namespace alignfs {
namespace {

bool same(const cpu_set_t& a, const cpu_set_t& b) { return CPU_EQUAL(&a, &b); }

/// Looks after nobody: these tests do.
Watch& no_watch() {
  static Watch watch([] { return false; });
  return watch;
}

/// Runs `body` in a thread of its own, whose placement dies with it.
template <typename Body>
void in_a_thread(Body body) {
  std::thread(body).join();
}

TEST(ProcessorOf, IsWhereTheThreadRuns) {
  in_a_thread([] {
    // A name must not be taken for fields.
    ::prctl(PR_SET_NAME, "a) S 1 (b");
    for (const unsigned processor : processors()) {
      stay_on(processor);
      EXPECT_EQ(processor_of(::gettid()), processor);
    }
  });
}

TEST(ProcessorOf, IsNotKnownOfAThreadThatIsNotThere) {
  constexpr pid_t kBeyondAll = 1 << 30;
  EXPECT_FALSE(processor_of(kBeyondAll));
  EXPECT_FALSE(processor_of(0));
}

TEST(Placement, BesideSomebodyTheThreadGivesWayOnHisProcessor) {
  in_a_thread([] {
    const auto before = affinity();
    Placement placement(no_watch());
    for (const unsigned processor : processors()) {
      ASSERT_TRUE(placement.join(processor));
      EXPECT_TRUE(placement.joined());
      EXPECT_EQ(unsigned(::sched_getcpu()), processor);
      EXPECT_TRUE(same(affinity(), only(processor)));
      EXPECT_EQ(::sched_getscheduler(0), SCHED_IDLE);
    }
    placement.leave();
    EXPECT_FALSE(placement.joined());
    EXPECT_TRUE(same(affinity(), before));
    EXPECT_EQ(::sched_getscheduler(0), SCHED_OTHER);
  });
}

TEST(Placement, WhatAnAdministratorChoseComesBack) {
  in_a_thread([] {
    const auto mine = only(processors().back());
    const sched_param none{};
    Placement placement(no_watch());
    ASSERT_EQ(::sched_setscheduler(0, SCHED_BATCH, &none), 0);
    ASSERT_EQ(::setpriority(PRIO_PROCESS, 0, 3), 0);
    ASSERT_EQ(::sched_setaffinity(0, sizeof mine, &mine), 0);
    ASSERT_TRUE(placement.join(processors().back()));
    placement.leave();
    EXPECT_TRUE(same(affinity(), mine));
    EXPECT_EQ(::sched_getscheduler(0), SCHED_BATCH);
    EXPECT_EQ(::getpriority(PRIO_PROCESS, 0), 3);
  });
}

TEST(Placement, AThreadGoesNowhereItMayNotRun) {
  in_a_thread([] {
    Placement placement(no_watch());
    EXPECT_FALSE(placement.join(CPU_SETSIZE));
    EXPECT_FALSE(placement.join(CPU_SETSIZE - 1));
    EXPECT_FALSE(placement.joined());
    EXPECT_EQ(::sched_getscheduler(0), SCHED_OTHER);
    const auto before = affinity();
    ASSERT_TRUE(placement.join(processors().front()));
    EXPECT_FALSE(placement.join(CPU_SETSIZE)) << "and does not stay where its caller is not";
    EXPECT_FALSE(placement.joined());
    EXPECT_TRUE(same(affinity(), before));
    EXPECT_EQ(::sched_getscheduler(0), SCHED_OTHER);
  });
}

TEST(Placement, AThreadThatRunsInRealTimeStaysAsItIs) {
  in_a_thread([] {
    const sched_param lowest{.sched_priority = 1};
    Placement placement(no_watch());
    if (::sched_setscheduler(0, SCHED_RR, &lowest) != 0) return;
    EXPECT_FALSE(placement.join(processors().front()));
    EXPECT_EQ(::sched_getscheduler(0), SCHED_RR);
  });
}

/// In a program of its own, because what it may do is found out once; not as root, whom the limit
/// does not bind.
void expect_that_nobody_goes_without(__rlimit_resource resource) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto as_nobody = [resource] {
    const rlimit none{0, 0};
    if (::setrlimit(resource, &none) != 0 || ::setuid(65534) != 0) std::_Exit(2);
    Placement placement(no_watch());
    const bool joined = placement.join(unsigned(::sched_getcpu()));
    std::_Exit(joined || ::sched_getscheduler(0) != SCHED_OTHER ? 1 : 0);
  };
  EXPECT_EXIT(as_nobody(), testing::ExitedWithCode(0), "");
}

TEST(PlacementDeathTest, WhoCouldNotComeBackDoesNotGo) {
  expect_that_nobody_goes_without(RLIMIT_NICE);
}

TEST(PlacementDeathTest, WhereThereMayBeNoMoreThreadsNobodyGoes) {
  expect_that_nobody_goes_without(RLIMIT_NPROC);
}

TEST(Placement, SomebodyElseEndsIt) {
  std::atomic<int> step{0};
  std::atomic<pid_t> tid{0};
  std::atomic<Placement*> placement{nullptr};
  const auto before = affinity();
  std::thread thread([&] {
    Placement mine(no_watch());
    EXPECT_TRUE(mine.join(processors().front()));
    tid = ::gettid();
    placement = &mine;
    step = 1;
    step.notify_all();
    step.wait(1);
  });
  step.wait(0);
  placement.load()->leave();
  EXPECT_FALSE(placement.load()->joined());
  EXPECT_TRUE(same(affinity(tid), before));
  EXPECT_EQ(::sched_getscheduler(tid), SCHED_OTHER);
  step = 2;
  step.notify_all();
  thread.join();
}

TEST(Placement, WhoseJoiningIsEndedGivesWayToNobody) {
  std::atomic<Placement*> placement{nullptr};
  std::atomic<int> looks{0};
  // The last look before it sleeps has the lock that wakes it.
  Watch watch([&] {
    if (++looks != Watch::kQuietLooks + 1) return false;
    placement.wait(nullptr);
    while (!placement.load()->joined()) std::this_thread::yield();
    placement.load()->leave();
    return false;
  });
  in_a_thread([&] {
    const auto here = processors().front();
    Placement mine(watch);
    // Whether it may go is found out before anything is in the way.
    ASSERT_TRUE(mine.join(here));
    mine.leave();
    watch.start();
    // As far as others can see it sleeps from then on.
    while (looks <= Watch::kQuietLooks) std::this_thread::yield();
    bool gave_way = false;
    before_policy_is_set = [&] { gave_way = true; };
    placement = &mine;
    placement.notify_all();
    EXPECT_FALSE(mine.join(here));
    before_policy_is_set = nullptr;
    EXPECT_FALSE(gave_way);
    EXPECT_FALSE(mine.joined());
    watch.stop();
  });
}

TEST(Placement, WhoIsMetInTheMiddleOfGivingWayComesBack) {
  std::latch begins(1);
  std::latch is_being_ended(1);
  Placement* placement = nullptr;
  std::thread other([&] {
    begins.wait();
    before_policy_is_set = [&] { is_being_ended.count_down(); };
    placement->leave();
  });
  in_a_thread([&] {
    const auto before = affinity();
    const auto here = processors().front();
    Placement mine(no_watch());
    EXPECT_TRUE(mine.join(here));
    mine.leave();
    placement = &mine;
    before_policy_is_set = [&] {
      begins.count_down();
      is_being_ended.wait();
      // Long enough for the other one to be done, if it did not wait for this thread.
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    };
    mine.join(here);
    other.join();
    EXPECT_FALSE(mine.joined());
    EXPECT_TRUE(same(affinity(), before));
    EXPECT_EQ(::sched_getscheduler(0), SCHED_OTHER);
  });
}

TEST(Placement, NobodyStaysBehindHoweverTheyMeet) {
  std::atomic<bool> over{false};
  std::atomic<Placement*> placement{nullptr};
  std::thread other([&] {
    placement.wait(nullptr);
    for (unsigned i = 0; !over; ++i) {
      placement.load()->leave();
      for (unsigned wait = i % 1000; wait != 0; --wait)
        std::atomic_signal_fence(std::memory_order_seq_cst);
    }
  });
  in_a_thread([&] {
    const auto before = affinity();
    const auto all = processors();
    Placement mine(no_watch());
    placement = &mine;
    placement.notify_all();
    for (int i = 0; i < 3000; ++i) {
      mine.join(all[unsigned(i) % all.size()]);
      if (i % 3 != 0) continue;
      mine.leave();
      ASSERT_TRUE(same(affinity(), before)) << i;
      ASSERT_EQ(::sched_getscheduler(0), SCHED_OTHER) << i;
    }
    over = true;
    other.join();
    mine.leave();
    EXPECT_TRUE(same(affinity(), before));
    EXPECT_EQ(::sched_getscheduler(0), SCHED_OTHER);
  });
}

}  // namespace
}  // namespace alignfs
