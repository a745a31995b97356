#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace alignfs {

/// A thread that looks at others every 2 ms while they work, and sleeps while they do not. Started
/// and stopped by one thread.
class Watch {
 public:
  static constexpr std::chrono::milliseconds kInterval{2};
  /// Looks at nothing after which it goes to sleep.
  static constexpr int kQuietLooks = 16;

  /// `look` is called by the watch alone, and returns false if nothing has gone on since it last
  /// was. Nothing else waits meanwhile but wake() and stop().
  explicit Watch(std::function<bool()> look) : look_(std::move(look)) {}
  ~Watch() { stop(); }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  /// Throws std::system_error if the thread cannot be had.
  void start();
  /// May be called more than once, and before it was started.
  void stop();
  /// For those it looks at, after they have begun something. Next to nothing while it is awake.
  void wake() {
    if (sleeps_) wake_up();
  }

 private:
  void run();
  void wake_up();

  const std::function<bool()> look_;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::atomic<bool> sleeps_{false};
};

}  // namespace alignfs
