#pragma once

#include <sched.h>
#include <sys/types.h>

#include <atomic>
#include <mutex>

#include "alignfs/fuse/watch.h"

namespace alignfs {

/// Puts a thread beside its only caller, and back.
///
/// Two threads that take turns lose most time with waking each other's processor. The scheduler
/// places whoever is woken on an idle processor, so they never stay on one by themselves, except
/// that a processor on which nothing but SCHED_IDLE runs counts as idle (sched_idle_cpu() of
/// kernel/sched/fair.c). So a thread beside its caller is bound to his processor and runs as
/// SCHED_IDLE: he is woken where he was, at once, and it goes on when he sleeps.
///
/// Such a thread gets next to nothing where others want the processor. So a watch looks after it,
/// which must not need a lock that the thread may hold. It should start nothing by io_uring that
/// the kernel may make a worker for: workers inherit the policy and keep it.
class Placement {
 public:
  /// That of the calling thread. `watch` looks after it: calls leave() where it does not go on.
  explicit Placement(Watch& watch);
  ~Placement() { leave(); }
  Placement(const Placement&) = delete;
  Placement& operator=(const Placement&) = delete;

  /// Puts the thread beside what runs on `processor`. False, with nothing changed, where that
  /// cannot be: the thread may not run there, has a policy of its own choice, or could not get back
  /// from SCHED_IDLE (which takes CAP_SYS_NICE or RLIMIT_NICE). For the thread itself.
  bool join(unsigned processor);
  bool joined() const { return joined_; }

  /// Where and how it ran before. Nothing if it is not beside anybody. Thread-safe, while the
  /// thread lives.
  void leave();

 private:
  bool give_way(unsigned processor);

  Watch& watch_;
  const pid_t tid_;
  /// Set before the thread gives way, and until it has its own place and policy again.
  std::atomic<bool> joined_{false};
  unsigned processor_ = 0;
  std::mutex mutex_;
  /// How and where else the scheduler may run the thread.
  std::atomic<int> policy_{SCHED_OTHER};
  cpu_set_t affinity_;
};

}  // namespace alignfs
