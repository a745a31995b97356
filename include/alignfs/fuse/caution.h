#pragma once

#include <atomic>
#include <chrono>

namespace alignfs {

/// A time in which nothing is risked, because something that was tried went badly: a tenth of a
/// second unless told. Thread-safe. Costs no look at the clock before anything has.
class Caution {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kTime{100};

  void begin(Clock::time_point now, Clock::duration time = kTime) {
    until_ = (now + time).time_since_epoch().count();
  }
  void begin() { begin(Clock::now()); }

  bool holds() const {
    const auto until = until_.load();
    return until != 0 && Clock::now().time_since_epoch().count() < until;
  }

 private:
  /// In ticks of Clock; 0 before the first.
  std::atomic<Clock::rep> until_{0};
};

}  // namespace alignfs
