#pragma once

#include <cstddef>
#include <span>

#include "alignfs/io/buffer_pool.h"

namespace alignfs {

/// struct fuse_in_header and struct fuse_write_in lie before a write's payload: a request received
/// that much before a page boundary has its payload on it, fit for O_DIRECT without a copy.
inline constexpr std::size_t kWriteHeader = 40 + 40;

/// The buffer that this thread receives into, or that holds the request it carries out.
BufferPool::Lease& request_buffer();

/// Takes over the buffer that holds the request being processed on this thread, so that a write's
/// payload outlives its handler. At most once a request.
BufferPool::Lease take_request_buffer();

/// Where the answer to the request being processed on this thread had best be put: page-aligned
/// memory that stays the request's until it is answered, and from which the data of an answer goes
/// without a copy. Empty where there is none. To be asked before anything is awaited.
std::span<std::byte> answer_room();

}  // namespace alignfs
