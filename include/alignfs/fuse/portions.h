#pragma once

namespace alignfs {

/// How many calls a receiver hands to the kernel at once, and how many it ends before it looks for
/// requests again.
///
/// Callers, receiver and disk take turns where each of them passes on all that it has: two of the
/// three wait. One that had to sleep has time to pass on little by little, so that all are at work.
/// One that never sleeps is what the others wait for, and saves system calls
/// (docs/performance.md has the difference).
///
/// Not thread-safe: one for each thread.
class Portions {
 public:
  /// There was nothing to do, for longer than it looks for more.
  void slept() { since_sleep_ = 0; }
  /// A call was left to the ring.
  void started() {
    if (since_sleep_ < kBusy) ++since_sleep_;
  }

  unsigned calls_to_start() const { return busy() ? kLarge : 1; }
  unsigned calls_to_end() const { return busy() ? kLarge : kSmall; }

 private:
  /// Calls without a sleep after which there is no time to lose.
  static constexpr unsigned kBusy = 64;
  static constexpr unsigned kLarge = 8;
  static constexpr unsigned kSmall = 2;

  bool busy() const { return since_sleep_ == kBusy; }

  unsigned since_sleep_ = 0;
};

}  // namespace alignfs
