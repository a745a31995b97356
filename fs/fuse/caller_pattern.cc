#include "alignfs/fuse/caller_pattern.h"

#include <algorithm>

namespace alignfs {

void CallerPattern::note(pid_t caller, std::size_t company) {
  const bool same = caller == last_;
  last_ = caller;
  alone_ = same && company == 0 ? std::min(alone_ + 1, kAlone) : 0;
  crowd_ = std::clamp(crowd_ + (same && company > 0 ? 1 : -1), 0, kCrowd);
  if (crowd_ == kCrowd) crowded_ = true;
  if (crowd_ == 0) crowded_ = false;
}

}  // namespace alignfs
