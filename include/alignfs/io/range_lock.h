#pragma once

#include <coroutine>
#include <list>
#include <mutex>

#include "alignfs/align/plan.h"

namespace alignfs {

/// Shared and exclusive locks on byte ranges of one file, first come, first served: a request waits
/// for every conflicting one that asked before it, so that no stream of shared holders starves an
/// exclusive one. Waiting suspends a coroutine and blocks no thread. Thread-safe.
class RangeLock {
 public:
  static constexpr Range kWholeFile{0, ~std::uint64_t{0}};

  /// One request for the lock, and the hold on it: `RangeLock::Hold hold(lock, range, exclusive);
  /// co_await hold;`. The destructor lets go, and resumes those who may go on by way of ReadyQueue
  /// on the thread that lets go. Lives in the coroutine frame; neither copied nor moved.
  class Hold {
   public:
    Hold(RangeLock& lock, Range range, bool exclusive)
        : lock_(lock), range_(range), exclusive_(exclusive) {}
    ~Hold();
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

    bool await_ready() const { return false; }
    /// False if the lock was free: the coroutine goes on without being suspended.
    bool await_suspend(std::coroutine_handle<> handle);
    void await_resume() const {}

   private:
    friend class RangeLock;
    bool conflicts(const Hold& other) const;

    RangeLock& lock_;
    const Range range_;
    const bool exclusive_;
    bool queued_ = false;
    bool granted_ = false;
    std::coroutine_handle<> handle_;
    std::list<Hold*>::iterator position_;
  };

 private:
  /// True if nobody before `position` conflicts with it. Requires mutex_.
  bool free_for(std::list<Hold*>::const_iterator position) const;

  std::mutex mutex_;
  /// Holders and waiters in order of arrival.
  std::list<Hold*> queue_;
};

}  // namespace alignfs
