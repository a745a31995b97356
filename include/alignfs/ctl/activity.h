#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "alignfs/ctl/mounts.h"
#include "alignfs/report/moved.h"

namespace alignfs::ctl {

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
