#include "alignfs/io/page_cache.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace alignfs {
namespace {

constexpr long kCachestat = 451;  // the same on every architecture

struct CachestatRange {  // struct cachestat_range of linux/mman.h
  std::uint64_t offset, length;
};
struct Cachestat {  // struct cachestat
  std::uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

}  // namespace

bool is_cached(int fd, Range range) {
  CachestatRange asked{range.begin, range.length()};
  Cachestat found{};
  if (::syscall(kCachestat, fd, &asked, &found, 0) != 0) return false;
  return found.cached != 0 || found.dirty != 0 || found.writeback != 0;
}

}  // namespace alignfs
