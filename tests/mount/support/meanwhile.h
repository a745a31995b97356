#pragma once

#include <atomic>
#include <functional>
#include <thread>
#include <utility>

namespace alignfs::test {

/// Repeats `action` on a thread of its own until destroyed.
class Meanwhile {
 public:
  explicit Meanwhile(std::function<void()> action)
      : thread_([this, action = std::move(action)] {
          while (!stop_) action();
        }) {}
  ~Meanwhile() {
    stop_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace alignfs::test
