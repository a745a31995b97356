#include "alignfs/fuse/watch.h"

#include <gtest/gtest.h>

#include <thread>

namespace alignfs {
namespace {

/// Counts the looks of a watch.
class Looks {
 public:
  /// One more. Returns how many there were.
  int add() {
    const int count = ++count_;
    count_.notify_all();
    return count;
  }
  int count() const { return count_; }
  /// Until there are more than `count`, or for ever.
  void wait_beyond(int count) const {
    for (int now = count_; now <= count; now = count_) count_.wait(now);
  }

 private:
  std::atomic<int> count_{0};
};

TEST(Watch, LooksWhileSomethingGoesOn) {
  Looks looks;
  Watch watch([&] { return looks.add() > 0; });
  watch.start();
  looks.wait_beyond(100);
}

TEST(Watch, SleepsWhenNothingDoesAndCanBeWoken) {
  Looks looks;
  Watch watch([&] { return looks.add() == 0; });
  watch.start();
  for (int i = 0; i < 3; ++i) {
    int seen = 0;
    // It sleeps once nothing is added for a hundred looks' time.
    do {
      seen = looks.count();
      std::this_thread::sleep_for(100 * Watch::kInterval);
    } while (looks.count() != seen);
    watch.wake();
    looks.wait_beyond(seen);
  }
}

TEST(Watch, SeesWhatBeganAsItWentToSleep) {
  Looks looks;
  // Who begins after the last quiet look finds the watch awake and does not wake it.
  Watch watch([&] { return looks.add() > Watch::kQuietLooks; });
  watch.start();
  looks.wait_beyond(2 * Watch::kQuietLooks);
}

TEST(Watch, StopsWhetherItWasStartedOrNot) {
  Watch never([] { return true; });
  never.stop();
  Watch watch([] { return false; });
  watch.start();
  watch.stop();
  watch.stop();
}

}  // namespace
}  // namespace alignfs
