#pragma once

#include "alignfs/align/plan.h"

namespace alignfs {

/// True if a page of `range` of the file at `fd` is in the page cache of the backing, or on its way
/// out of it: cachestat(2), Linux 6.5. False where that cannot be told.
bool is_cached(int fd, Range range);

}  // namespace alignfs
