#include "alignfs/fuse/placement.h"

#include <unistd.h>

#include <system_error>
#include <thread>

namespace alignfs {
namespace {

int set_policy(pid_t tid, int policy) {
  const sched_param none{};
  return ::sched_setscheduler(tid, policy, &none);
}

/// A thread that has become SCHED_IDLE without the right to be anything else stays so: one is spent
/// on finding out. Where there may be no more threads now, it is found out another time.
bool idle_policy_can_be_left() try {
  static const bool answer = [] {
    bool left = false;
    std::thread([&] {
      left = set_policy(0, SCHED_IDLE) == 0 && set_policy(0, SCHED_OTHER) == 0;
    }).join();
    return left;
  }();
  return answer;
} catch (const std::system_error&) {
  return false;
}

}  // namespace

Placement::Placement(Watch& watch) : watch_(watch), tid_(::gettid()) { CPU_ZERO(&affinity_); }

bool Placement::join(unsigned processor) {
  if (joined_ && processor == processor_) return true;
  if (!idle_policy_can_be_left()) return false;
  bool may_be_there = false;
  {
    const std::lock_guard guard(mutex_);
    if (!joined_) {
      policy_ = ::sched_getscheduler(0);
      // Fails on machines with more processors than the set holds.
      if (::sched_getaffinity(0, sizeof affinity_, &affinity_) != 0) return false;
    }
    may_be_there = (policy_ == SCHED_OTHER || policy_ == SCHED_BATCH) && processor < CPU_SETSIZE &&
                   CPU_ISSET(processor, &affinity_);
    if (may_be_there) joined_ = true;
  }
  if (!may_be_there) {
    leave();
    return false;
  }
  // Somebody looks after the thread before it needs that.
  watch_.wake();
  if (!give_way(processor)) leave();
  return joined_;
}

bool Placement::give_way(unsigned processor) {
  cpu_set_t beside;
  CPU_ZERO(&beside);
  CPU_SET(processor, &beside);
  // Not while the watch ends it, nor after: nobody would look after the thread any more.
  const std::lock_guard guard(mutex_);
  if (!joined_) return false;
  processor_ = processor;
  return set_policy(0, SCHED_IDLE) == 0 && ::sched_setaffinity(0, sizeof beside, &beside) == 0;
}

void Placement::leave() {
  if (!joined_) return;
  std::unique_lock lock(mutex_, std::defer_lock);
  // The thread may hold the lock without getting on.
  for (set_policy(tid_, policy_); !lock.try_lock(); set_policy(tid_, policy_)) {
    std::this_thread::yield();
  }
  // Somebody else was quicker, and the thread may have gone elsewhere by itself since.
  if (!joined_) return;
  // It may have given way again meanwhile.
  set_policy(tid_, policy_);
  ::sched_setaffinity(tid_, sizeof affinity_, &affinity_);
  joined_ = false;
}

}  // namespace alignfs
