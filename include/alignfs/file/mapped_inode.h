#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "alignfs/file/observer.h"
#include "alignfs/io/mapping.h"

namespace alignfs {

/// What the open handles of one inode share in mapped mode. Thread-safe.
class MappedInode {
 public:
  /// The mapping of the file that the descriptor `anchor` (O_PATH will do) stands for, made or made
  /// anew where the present one ends before `size`. Null or the present one if no better can be
  /// had: for good where error() is ENODEV, else for now. `*new_error` is the reason the first time
  /// it is met, else 0.
  std::shared_ptr<const Mapping> mapping(Mapper& mapper, int anchor, std::uint64_t size,
                                         int* new_error);
  /// Why the file is not mapped as far as it was wanted, as errno; 0 if it is or nobody wanted it.
  int error() const { return error_; }

  /// True if the clock of the kernel's timestamps has ticked since this was last true.
  bool access_due();

 private:
  /// Requires mutex_.
  Result<std::shared_ptr<const Mapping>> map_anew(Mapper& mapper, int anchor,
                                                  std::uint64_t size) const;

  std::mutex mutex_;
  std::shared_ptr<const Mapping> mapping_;
  std::atomic<int> error_{0};
  std::atomic<std::int64_t> accessed_{0};
};

/// What MappedInode::error() comes to for who reads the file.
Fallback fallback_for(int mapping_error);

}  // namespace alignfs
