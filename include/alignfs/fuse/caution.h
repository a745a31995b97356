#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>

namespace alignfs {

/// A time in which nothing is risked, because something that was tried went badly: a tenth of a
/// second unless told. Thread-safe but for begin_gently(). Costs no look at the clock before
/// anything has.
class Caution {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kTime{100};
  /// The least time of begin_gently().
  static constexpr std::chrono::milliseconds kLeast{6};

  void begin(Clock::time_point now, Clock::duration time = kTime) {
    until_ = (now + time).time_since_epoch().count();
  }
  void begin() { begin(Clock::now()); }

  /// Short for what went badly once, and twice as long, up to kTime, each time that it does so
  /// again within kTime after the last caution. By one thread at a time.
  void begin_gently(Clock::time_point now) {
    const Clock::time_point last_end(Clock::duration(until_.load()));
    gentle_ = now - last_end < kTime ? std::min<Clock::duration>(2 * gentle_, kTime) : kLeast;
    begin(now, gentle_);
  }

  bool holds() const { return until_ != 0 && holds(Clock::now()); }
  bool holds(Clock::time_point now) const { return now.time_since_epoch().count() < until_; }

 private:
  /// In ticks of Clock; 0 before the first.
  std::atomic<Clock::rep> until_{0};
  Clock::duration gentle_ = kLeast;
};

}  // namespace alignfs
