#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <functional>
#include <memory>
#include <string>

#include "alignfs/file/observer.h"

namespace alignfs {

/// Who reads and writes which file how much, kept while somebody looks: nothing is counted before
/// the first look, nor once nobody has looked for kAttention. Thread-safe; while it is watched, all
/// requests pass one lock.
class Activity {
 public:
  static constexpr time_t kAttention = 10;  ///< seconds

  struct Name {
    pid_t pid = 0;  ///< 0 for what no program asked for: the page cache, copies of the daemon
    std::string comm, path;
    bool operator==(const Name&) const = default;
  };
  /// Asked once a thread, file and look, and never with the lock held. Where the answer is another
  /// one, the count begins anew.
  using Describe = std::function<Name(const Fragment&)>;
  /// Gives CLOCK_MONOTONIC_COARSE; replaced by tests.
  using Clock = std::function<timespec()>;

  /// At most `capacity` pairs of thread and file are kept; of more the one that was quiet longest
  /// goes.
  explicit Activity(Describe describe, std::size_t capacity = 4096, Clock clock = {});
  ~Activity();
  Activity(const Activity&) = delete;
  Activity& operator=(const Activity&) = delete;

  void note(const Fragment& fragment, const Served& served) {
    if (watched_.load(std::memory_order_relaxed)) note_watched(fragment, served);
  }

  /// Everything since the look that began this watch, as lines of JSON (docs/activity.md), and
  /// watches on.
  std::string look();

 private:
  void note_watched(const Fragment& fragment, const Served& served);

  struct Impl;
  std::unique_ptr<Impl> impl_;
  std::atomic<bool> watched_{false};
};

}  // namespace alignfs
