#include "alignfs/fuse/watch.h"

namespace alignfs {

void Watch::start() {
  thread_ = std::thread([this] { run(); });
}

void Watch::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Watch::run() {
  int quiet = 0;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    changed_.wait_for(lock, kInterval, [&] { return stopping_; });
    quiet = look_() ? 0 : quiet + 1;
    if (quiet < kQuietLooks) continue;
    sleeps_ = true;
    // Who began before that could be seen is seen here.
    if (look_()) sleeps_ = false;
    changed_.wait(lock, [&] { return stopping_ || !sleeps_; });
    quiet = 0;
  }
}

void Watch::wake_up() {
  {
    const std::lock_guard lock(mutex_);
    sleeps_ = false;
  }
  changed_.notify_one();
}

}  // namespace alignfs
