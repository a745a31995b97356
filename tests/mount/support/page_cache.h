#pragma once

#include <cstdint>
#include <string>

namespace alignfs::test {

/// Pages of a file in the page cache: struct cachestat of linux/mman.h.
struct PageCache {
  std::uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

/// What the page cache holds of the whole file. Throws std::system_error on failure.
PageCache page_cache_of(const std::string& path);

}  // namespace alignfs::test
