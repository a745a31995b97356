#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "alignfs/io/mapping.h"

namespace alignfs {

/// What the open handles of one inode share in mapped mode. Thread-safe.
class MappedInode {
 public:
  /// The mapping, made or made anew where the present one ends before `size` or is not `writable`.
  /// What there is already if no better one can be had, null if there is none; `*error` is then the
  /// reason, else 0. `fd` must allow what is asked for.
  std::shared_ptr<const Mapping> mapping(Mapper& mapper, int fd, std::uint64_t size, bool writable,
                                         int* error);

  /// The size when somebody last looked. A hint: it may be out of date either way.
  std::uint64_t known_size() const { return size_.load(std::memory_order_relaxed); }
  void know_size(std::uint64_t size) { size_.store(size, std::memory_order_relaxed); }

  /// True if a store made now must move the file's times: the clock of the kernel's timestamps has
  /// ticked since the last one that did, or somebody has looked at them.
  bool stamp_due();
  /// Somebody looks at the times, or sets what a write takes away: the next store moves them anew.
  void times_seen() { stamp_.store(0, std::memory_order_relaxed); }

 private:
  std::mutex mutex_;
  std::shared_ptr<const Mapping> mapping_;
  int unmappable_ = 0;  ///< errno that will not change while the inode is open
  bool unwritable_ = false;
  std::atomic<std::uint64_t> size_{0};
  std::atomic<std::int64_t> stamp_{0};
};

}  // namespace alignfs
