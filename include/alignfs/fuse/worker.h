#pragma once

#include "alignfs/io/buffer_pool.h"

namespace alignfs {

/// Takes over the buffer that holds the request being processed on this thread, so that a write's
/// payload outlives its handler. At most once a request.
BufferPool::Lease take_request_buffer();

}  // namespace alignfs
