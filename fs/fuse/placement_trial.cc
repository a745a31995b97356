#include "alignfs/fuse/placement_trial.h"

#include <algorithm>

namespace alignfs {
namespace {

/// Wake-ups take some microseconds: with requests that are further apart nothing is to be gained.
constexpr std::chrono::microseconds kTooSlow(200);

}  // namespace

PlacementTrial::Place PlacementTrial::next(Clock::time_point now) {
  const auto time = now - begun_;
  if (requests_ >= kLeastRequests && (requests_ == kMostRequests || time >= kLongest)) {
    const auto mean = time / requests_;
    requests_ = 0;
    decide(mean);
  }
  if (settles_ != 0) {
    --settles_;
  } else if (requests_++ == 0) {
    begun_ = now;
  }
  return place_;
}

void PlacementTrial::decide(Clock::duration mean) {
  if (place_ == Place::anywhere) {
    if (pause_left_ != 0) {
      --pause_left_;
    } else if (mean < kTooSlow) {
      anywhere_ = mean;
      go(Place::beside);
    }
    return;
  }
  if (mean >= anywhere_ * 19 / 20) {
    if (windows_ == 0) return failed();
    go(Place::anywhere);
  } else if (++windows_ == kLease) {
    pause_ = 0;
    go(Place::anywhere);
  }
}

void PlacementTrial::go(Place place) {
  place_ = place;
  settles_ = kSettles;
  requests_ = 0;
  windows_ = 0;
}

void PlacementTrial::interrupted() { go(Place::anywhere); }

void PlacementTrial::failed() {
  pause_ = std::clamp(pause_ * 2, kShortestPause, kLongestPause);
  pause_left_ = pause_;
  go(Place::anywhere);
}

}  // namespace alignfs
