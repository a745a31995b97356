#pragma once

#include <chrono>

namespace alignfs {

/// Finds out whether a thread serves its only caller more quickly beside him or from wherever the
/// scheduler puts it (placement.h), and tells where to be. It times a window of requests in either
/// place; stays beside the caller while that is clearly quicker, and looks again now and then; and
/// where it is not, tries it more and more rarely.
///
/// Not thread-safe: one for each thread.
class PlacementTrial {
 public:
  using Clock = std::chrono::steady_clock;
  enum class Place { anywhere, beside };

  /// Requests that are not counted in a new place.
  static constexpr unsigned kSettles = 32;
  /// A window is over after so many requests, or after that time, but not before the least.
  static constexpr unsigned kMostRequests = 256;
  static constexpr std::chrono::milliseconds kLongest{4};
  static constexpr unsigned kLeastRequests = 64;
  /// Windows beside the caller until the other place is looked at again.
  static constexpr unsigned kLease = 32;
  /// Windows after a trial that did not pay before the next; each one that does not doubles them.
  static constexpr unsigned kShortestPause = 8;
  static constexpr unsigned kLongestPause = 256;

  /// At `now` there is a request of the caller who had the last one, and no other one is on its
  /// way. Returns where to carry it out.
  Place next(Clock::time_point now);
  /// There is a request of somebody else, or several at once.
  void interrupted();
  /// The place beside the caller was taken by others.
  void failed();

 private:
  void go(Place place);
  void decide(Clock::duration mean);

  Place place_ = Place::anywhere;
  /// Requests in this place that are not counted any more.
  unsigned settles_ = kSettles;
  /// Requests of the window, with the one that begins it.
  unsigned requests_ = 0;
  Clock::time_point begun_;
  /// What a request took anywhere, from one to the next.
  Clock::duration anywhere_{0};
  /// Windows beside the caller.
  unsigned windows_ = 0;
  unsigned pause_ = 0;
  unsigned pause_left_ = 0;
};

}  // namespace alignfs
