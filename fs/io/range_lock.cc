#include "alignfs/io/range_lock.h"

#include <algorithm>
#include <vector>

#include "alignfs/base/task.h"

namespace alignfs {

bool RangeLock::Hold::conflicts(const Hold& other) const {
  return (exclusive_ || other.exclusive_) && range_.begin < other.range_.end &&
         other.range_.begin < range_.end;
}

bool RangeLock::free_for(std::list<Hold*>::const_iterator position) const {
  return std::none_of(queue_.begin(), position,
                      [&](const Hold* earlier) { return (*position)->conflicts(*earlier); });
}

bool RangeLock::Hold::await_suspend(std::coroutine_handle<> handle) {
  const std::lock_guard guard(lock_.mutex_);
  handle_ = handle;
  position_ = lock_.queue_.insert(lock_.queue_.end(), this);
  queued_ = true;
  granted_ = lock_.free_for(position_);
  return !granted_;
}

RangeLock::Hold::~Hold() {
  if (!queued_) return;
  std::vector<std::coroutine_handle<>> ready;
  {
    const std::lock_guard guard(lock_.mutex_);
    const auto after = lock_.queue_.erase(position_);
    for (auto waiter = after; waiter != lock_.queue_.end(); ++waiter) {
      if ((*waiter)->granted_ || !lock_.free_for(waiter)) continue;
      (*waiter)->granted_ = true;
      ready.push_back((*waiter)->handle_);
    }
  }
  for (const auto handle : ready) ReadyQueue::schedule(handle);
}

}  // namespace alignfs
