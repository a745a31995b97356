#include "alignfs/fuse/placement_trial.h"

#include <gtest/gtest.h>

namespace alignfs {
namespace {

using Place = PlacementTrial::Place;
using std::chrono::microseconds;

/// Requests of a caller who needs a certain time from one to the next, in either place.
class PlacementTrialTest : public testing::Test {
 protected:
  Place ask() {
    place_ = trial_.next(now_);
    now_ += place_ == Place::beside ? beside_ : anywhere_;
    return place_;
  }
  void ask(unsigned times) {
    for (unsigned i = 0; i < times; ++i) ask();
  }
  /// Asks until the place is another one. Returns the requests that were carried out here, with the
  /// one that changed the place before.
  unsigned requests_here() {
    const Place here = place_;
    unsigned count = begun_ ? 1 : 0;
    begun_ = true;
    while (ask() == here && count < 10'000'000) ++count;
    return count;
  }

  void begin_anew() {
    place_ = Place::anywhere;
    begun_ = false;
  }

  /// What is asked in a place before its first window is over; with short requests.
  static constexpr unsigned kFirst = PlacementTrial::kSettles + PlacementTrial::kMostRequests;

  PlacementTrial trial_;
  PlacementTrial::Clock::time_point now_{};
  microseconds anywhere_{10};
  microseconds beside_{7};
  Place place_ = Place::anywhere;
  bool begun_ = false;
};

TEST_F(PlacementTrialTest, BeginsAnywhereAndGoesBesideTheCaller) {
  EXPECT_EQ(requests_here(), kFirst);
  EXPECT_EQ(place_, Place::beside);
}

TEST_F(PlacementTrialTest, StaysWhereItPaysAndLooksAgainNowAndThen) {
  requests_here();
  EXPECT_EQ(requests_here(),
            PlacementTrial::kSettles + PlacementTrial::kLease * PlacementTrial::kMostRequests);
  EXPECT_EQ(place_, Place::anywhere);
  EXPECT_EQ(requests_here(), kFirst) << "one window there";
  EXPECT_EQ(place_, Place::beside);
}

TEST_F(PlacementTrialTest, LeavesWhereItDoesNotPay) {
  beside_ = microseconds(10);
  requests_here();
  EXPECT_EQ(requests_here(), kFirst);
  EXPECT_EQ(place_, Place::anywhere);
}

TEST_F(PlacementTrialTest, TriesWhatDidNotPayMoreAndMoreRarely) {
  beside_ = microseconds(12);
  requests_here();
  unsigned windows = PlacementTrial::kShortestPause;
  for (int i = 0; i < 12; ++i) {
    requests_here();
    ASSERT_EQ(place_, Place::anywhere);
    ASSERT_EQ(requests_here(), kFirst + windows * PlacementTrial::kMostRequests) << i;
    windows = std::min(2 * windows, PlacementTrial::kLongestPause);
  }
}

TEST_F(PlacementTrialTest, WhatPaidOnceIsTriedAtOnceAgain) {
  beside_ = microseconds(12);
  for (int i = 0; i < 7; ++i) requests_here();
  ASSERT_EQ(place_, Place::beside);
  beside_ = microseconds(5);
  ask(PlacementTrial::kSettles + PlacementTrial::kLease * PlacementTrial::kMostRequests);
  EXPECT_EQ(requests_here(), kFirst) << "no pause is left from before";
  EXPECT_EQ(place_, Place::beside);
}

TEST_F(PlacementTrialTest, ComesBackSoonWhenItPaysNoLonger) {
  requests_here();
  ask(2 * PlacementTrial::kMostRequests);
  beside_ = microseconds(50);
  EXPECT_LE(requests_here(), 2 * PlacementTrial::kMostRequests);
  EXPECT_EQ(place_, Place::anywhere);
}

TEST_F(PlacementTrialTest, WindowsOfSlowRequestsAreShort) {
  anywhere_ = microseconds(100);
  EXPECT_EQ(requests_here(), PlacementTrial::kSettles + PlacementTrial::kLeastRequests);
}

TEST_F(PlacementTrialTest, RequestsThatAreFarApartAreLeftWhereTheyAre) {
  anywhere_ = microseconds(300);
  ask(10'000);
  EXPECT_EQ(place_, Place::anywhere);
}

TEST_F(PlacementTrialTest, AnotherCallerEndsItAndBeginsAnew) {
  requests_here();
  trial_.interrupted();
  begin_anew();
  EXPECT_EQ(requests_here(), kFirst);
  EXPECT_EQ(place_, Place::beside);
  trial_.interrupted();
  for (int i = 0; i < 100; ++i) {
    ask(kFirst - 1);
    ASSERT_EQ(place_, Place::anywhere);
    trial_.interrupted();
  }
}

TEST_F(PlacementTrialTest, WhereOthersTookThePlaceItIsTriedLater) {
  requests_here();
  trial_.failed();
  begin_anew();
  EXPECT_EQ(requests_here(),
            kFirst + PlacementTrial::kShortestPause * PlacementTrial::kMostRequests);
}

}  // namespace
}  // namespace alignfs
