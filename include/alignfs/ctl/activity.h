#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "alignfs/ctl/mounts.h"

namespace alignfs::ctl {

/// What one program has moved of one file in one direction (docs/activity.md).
struct Moved {
  std::uint64_t requests = 0;
  std::uint64_t bytes = 0;          ///< asked for and got
  std::uint64_t backing_read = 0;   ///< bytes
  std::uint64_t backing_write = 0;  ///< bytes
  std::uint64_t page_cache = 0;     ///< bytes of these two that went through the page cache below
  std::uint64_t adapted = 0;        ///< requests bounced or split
  std::uint64_t rejected = 0;
  std::uint64_t errors = 0;
  std::uint64_t nanoseconds = 0;  ///< the time that all requests took

  Moved& operator+=(const Moved& more);
  Moved& operator-=(const Moved& earlier);
  /// Nothing of it is less: false where the daemon began to count anew.
  bool covers(const Moved& earlier) const;
  bool operator==(const Moved&) const = default;
};

struct ActivityRow {
  pid_t pid = 0;  ///< 0: no program, but the page cache or the daemon itself
  std::string comm;
  std::string path;  ///< from the top of the mount
  Moved read, write;
};

/// One look at .alignfs/activity.
struct Activity {
  /// Rows of two looks belong together if this is the same: else nobody looked for a while.
  std::uint64_t watch = 0;
  /// Rows that were left out for want of room.
  std::uint64_t forgotten = 0;
  std::vector<ActivityRow> rows;
};

/// CommandError if it cannot be read. A look makes the daemon count for another ten seconds.
Activity look_at_activity(const AlignfsMount& mount);

}  // namespace alignfs::ctl
