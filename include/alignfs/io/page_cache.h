#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "alignfs/align/plan.h"
#include "alignfs/base/result.h"
#include "alignfs/io/transfer.h"

namespace alignfs {

/// True if a page of `range` of the file at `fd` is in the page cache of the backing, or on its way
/// out of it: cachestat(2), Linux 6.5. False where that cannot be told.
bool is_cached(int fd, Range range);

/// True if all of `range` is in the page cache of the backing and waits to be written out, or is
/// being written. False where that cannot be told: cachestat(2), Linux 6.5.
bool awaits_writeback(int fd, Range range);

/// One direct write that is made only where no page of the range is in the page cache. Bytes
/// written, perhaps fewer than asked for. EAGAIN where a page is cached (on Linux before 6.6: dirty
/// there), a block has yet to be allocated, or somebody else holds the file; EOPNOTSUPP on
/// filesystems that cannot tell: RWF_NOWAIT of pwritev2(2).
Result<std::size_t> write_uncached(int fd, std::span<const std::byte> data, std::uint64_t offset,
                                   Durability durability);

}  // namespace alignfs
