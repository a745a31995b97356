#pragma once

#include <cstdint>

#include "alignfs/base/result.h"
#include "alignfs/base/task.h"
#include "alignfs/file/file.h"

namespace alignfs {

// What changes a file's size or blocks other than a write. Each holds the inode's lock whole and
// exclusive: a block read by a read-modify-write must not be cut off or zeroed before it is written
// back.

/// Sets the size of the file open for writing at `fd`, whose open state is `inode`.
Task<Status> resize(OpenInode& inode, int fd, std::uint64_t size);

/// fallocate(2) with any mode.
Task<Status> allocate(File& file, int mode, std::uint64_t offset, std::uint64_t length);

/// copy_file_range(2): shares the blocks where the backing can (FICLONERANGE), else copies them
/// as reads and writes of the files' mode would, so that direct mode stays out of the page cache.
/// Copies at most kCopyChunk bytes, as the system call may. A buffer of `buffers` is held all
/// along, also while waiting for locks: it must be a pool that no holder of a lock draws from. It
/// is taken before the first lock, because waiting for it could otherwise keep others from going on
/// that were let in by this thread.
inline constexpr std::uint64_t kCopyChunk = 8 << 20;
/// A clone costs the same whatever its length; the answer has 32 bits for the count.
inline constexpr std::uint64_t kCloneChunk = 1 << 30;
Task<Result<std::size_t>> copy_range(File& from, std::uint64_t from_offset, File& to,
                                     std::uint64_t to_offset, std::uint64_t length,
                                     BufferPool& buffers);

}  // namespace alignfs
