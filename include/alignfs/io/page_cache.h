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

/// Where in `range` of the file at `fd` the pages begin that wait in the page cache of the backing
/// to be written out, or are being written: all from there to the end of the range, and none
/// before. Otherwise, and where that cannot be told, the end of the range: cachestat(2), Linux 6.5.
/// A multiple of `boundary`, at least of a page, unless it is where the range begins or ends.
std::uint64_t awaits_writeback_from(int fd, Range range, std::uint64_t boundary);

/// One direct write that is made only where no page of the range is in the page cache. Bytes
/// written, perhaps fewer than asked for. EAGAIN where a page is cached (on Linux before 6.6: dirty
/// there), a block has yet to be allocated, or somebody else holds the file; EOPNOTSUPP on
/// filesystems that cannot tell: RWF_NOWAIT of pwritev2(2).
Result<std::size_t> write_uncached(int fd, std::span<const std::byte> data, std::uint64_t offset,
                                   Durability durability);

}  // namespace alignfs
