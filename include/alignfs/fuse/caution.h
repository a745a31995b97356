#pragma once

#include <atomic>
#include <chrono>

namespace alignfs {

/// A tenth of a second in which nothing is risked, because something that was tried went badly.
/// Thread-safe. Costs no look at the clock before anything has.
class Caution {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kTime{100};

  void begin(Clock::time_point now) { until_ = (now + kTime).time_since_epoch().count(); }
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
