#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "alignfs/ctl/activity.h"
#include "alignfs/ctl/mounts.h"

namespace alignfs::ctl::lab {

/// What a request came to below. Learnt from who did it, never from what should have happened.
struct Below {
  enum class Witness : std::uint8_t {
    daemon,  ///< the alignfs daemon, of this process and file
    kernel,  ///< /proc/self/io: bytes of this process that went to and came from a disk
    nobody,
  };
  Witness witness = Witness::nobody;
  bool refused = false;  ///< kernel: it accounts a request before it judges it, so `moved` is empty
  Moved moved;           ///< kernel: backing_read and backing_write alone
  std::uint64_t syncs = 0;          ///< daemon: fsync requests, of the whole mount
  std::uint64_t events_before = 0;  ///< daemon: published when it began
  std::string unseen;               ///< why there is no witness
};

/// Tells what happened between start() and stop(). Not thread-safe.
class BelowMeter {
 public:
  /// `path` is the file that requests go to.
  explicit BelowMeter(const std::string& path);

  void start();
  /// `refused`: the kernel took none of it.
  Below stop(bool refused);

 private:
  struct Sums {
    Moved moved;
    std::uint64_t syncs = 0, events = 0;
    std::uint64_t watch = 0;
  };
  Sums look() const;

  std::optional<AlignfsMount> mount_;
  std::string path_on_mount_;  ///< when it was opened
  Sums before_;
  std::string unseen_;
};

/// One line for a person. `block` is the boundary of offsets in bytes.
std::string below_text(const Below& below, std::uint32_t block);

}  // namespace alignfs::ctl::lab
