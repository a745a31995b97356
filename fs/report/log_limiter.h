#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "alignfs/report/event_ring.h"
#include "lru_map.h"

namespace alignfs {

/// What the log kept to itself before the line it prints now.
struct LeftOut {
  std::uint64_t events = 0;
  std::chrono::nanoseconds since{0};  ///< time since the line printed last
};

/// Lets one event of a kind a second into the log, for a bounded number of kinds. Thread-safe.
class LogLimiter {
 public:
  using Clock = std::function<std::chrono::steady_clock::time_point()>;

  explicit LogLimiter(std::size_t kinds, Clock clock = std::chrono::steady_clock::now)
      : clock_(std::move(clock)), kinds_(kinds) {}

  /// What was left out since the last line of `kind`, if a line may be printed now; else counts the
  /// event as left out.
  std::optional<LeftOut> admit(const EventKind& kind);

  /// Counts an event of `kind` that is not to be printed.
  void leave_out(const EventKind& kind);

 private:
  struct State {
    std::optional<std::chrono::steady_clock::time_point> printed;
    std::uint64_t left_out = 0;
  };

  const Clock clock_;
  std::mutex mutex_;
  LruMap<EventKind, State, EventKindHash> kinds_;
};

/// "\n  12 more like this in the last second", or "" where nothing was left out.
std::string left_out_text(const LeftOut& left_out);

}  // namespace alignfs
