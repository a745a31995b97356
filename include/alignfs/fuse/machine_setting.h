#pragma once

#include <chrono>
#include <string>
#include <utility>

#include "alignfs/base/result.h"
#include "alignfs/base/unique_fd.h"

namespace alignfs::kernel {

/// A setting of the whole machine, as a file below /proc/sys or /sys, that a mount changes while it
/// is made and puts back. Who wants to change it takes turns with other mounts of alignfs, by
/// flock(2) of the file. Used by one thread.
class MachineSetting {
 public:
  /// Opens the file with `flags` (O_RDONLY, O_WRONLY or O_RDWR). Errors of open(2).
  static Result<MachineSetting> open(const char* path, int flags);

  /// Waits for its turn, which lasts as long as this object lives. Not longer than `patience`,
  /// because anybody who may read the file may hold the lock: EBUSY then.
  Status take_turn(std::chrono::milliseconds patience = std::chrono::seconds(5));

  /// The first line. Empty if it cannot be read.
  std::string read() const;
  /// An errno where the kernel does not take it.
  Status write(const std::string& value);

 private:
  explicit MachineSetting(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace alignfs::kernel
