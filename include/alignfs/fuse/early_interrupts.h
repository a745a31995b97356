#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>

namespace alignfs {

/// Interrupts of requests that libfuse has not met yet: with FUSE over io_uring an INTERRUPT comes
/// another way than its request, and may overtake it. Of those whose request is over nothing is
/// ever heard again; only the newest ones are kept. Thread-safe.
class EarlyInterrupts {
 public:
  /// One for each caller who waits for a place in a queue.
  static constexpr std::size_t kMost = 256;

  /// The request that the kernel calls `unique` should end.
  void add(std::uint64_t unique);

  /// False where none are kept, without a lock.
  bool any() const { return any_; }

  /// Takes one out. False where it is not there or somebody else has done so: whoever takes it
  /// passes it on.
  bool take(std::uint64_t unique);

 private:
  std::mutex mutex_;
  std::deque<std::uint64_t> uniques_;  ///< the newest last
  std::atomic<bool> any_{false};
};

}  // namespace alignfs
