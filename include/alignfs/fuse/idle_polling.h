#pragma once

#include <chrono>
#include <optional>

namespace alignfs {

/// Decides whether a thread without work looks for more at once or goes to sleep: waking an idle
/// processor costs more than a request. It looks again
///
/// - after a request that it carried out itself, whose caller goes on from there, and while several
///   callers have requests with the backing; not after a single one of those: the backing needs the
///   processor then, and the caller sleeps;
/// - only if the last gap was short, so that a caller who takes its time costs one such look;
/// - for `limit` at most.
///
/// Not thread-safe: one for each thread.
class IdlePolling {
 public:
  using Clock = std::chrono::steady_clock;

  /// A limit of 0 never looks.
  explicit IdlePolling(std::chrono::microseconds limit) : limit_(limit) {}

  /// A request went to the backing: while others were there already, or alone.
  void sent_to_backing(bool alone);
  /// Requests of several callers were met.
  void in_company();
  /// For some time all requests to the backing were alone.
  bool single_caller() const { return company_ == 0; }
  /// The thread carried a request out.
  void carried_out() { caller_goes_on_ = true; }
  /// The backing answered, or somebody else carries the request out.
  void left_to_others() { caller_goes_on_ = false; }

  /// There was something to do.
  void busy() { idle_since_.reset(); }
  /// There was nothing to do at `now`. True to look again, false to sleep.
  bool looks_again(Clock::time_point now);
  /// It slept for `gap` until there was something to do.
  void slept(Clock::duration gap);

 private:
  const Clock::duration limit_;
  bool last_gap_was_short_ = false;
  bool caller_goes_on_ = false;
  /// Falls with each request that is alone with the backing, from when it last was not.
  unsigned company_ = 0;
  std::optional<Clock::time_point> idle_since_;
};

}  // namespace alignfs
