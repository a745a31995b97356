#include "alignfs/fuse/watch.h"

#include <gtest/gtest.h>

#include <thread>

namespace alignfs {
namespace {

/// Waits until `counter` is more than `count`, or for ever.
void wait_beyond(const std::atomic<int>& counter, int count) {
  for (int now = counter; now <= count; now = counter) counter.wait(now);
}

TEST(Watch, LooksWhileSomethingGoesOn) {
  std::atomic<int> looks{0};
  Watch watch([&] {
    ++looks;
    looks.notify_all();
    return true;
  });
  watch.start();
  wait_beyond(looks, 100);
}

TEST(Watch, SleepsWhenNothingDoesAndCanBeWoken) {
  std::atomic<int> looks{0};
  Watch watch([&] {
    ++looks;
    looks.notify_all();
    return false;
  });
  watch.start();
  for (int i = 0; i < 3; ++i) {
    int seen = 0;
    // It sleeps once nothing is added for a hundred looks' time.
    do {
      seen = looks;
      std::this_thread::sleep_for(100 * Watch::kInterval);
    } while (looks != seen);
    watch.wake();
    wait_beyond(looks, seen);
  }
}

TEST(Watch, SeesWhatBeganAsItWentToSleep) {
  std::atomic<int> looks{0};
  // Who begins after the last quiet look finds the watch awake and does not wake it.
  Watch watch([&] {
    looks.notify_all();
    return ++looks > Watch::kQuietLooks;
  });
  watch.start();
  wait_beyond(looks, 2 * Watch::kQuietLooks);
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
