#include "alignfs/io/page_cache.h"

#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

#include "alignfs/base/alignment.h"

namespace alignfs {
namespace {

constexpr long kCachestat = 451;  // the same on every architecture

struct CachestatRange {  // struct cachestat_range of linux/mman.h
  std::uint64_t offset, length;
};
struct Cachestat {  // struct cachestat
  std::uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

/// Pages of the range; none where the kernel cannot tell.
Cachestat cachestat(int fd, Range range) {
  CachestatRange asked{range.begin, range.length()};
  Cachestat found{};
  if (::syscall(kCachestat, fd, &asked, &found, 0) != 0) return {};
  return found;
}

/// A page that was written to again on its way out is two of them.
std::uint64_t waiting_pages(const Cachestat& found) { return found.dirty + found.writeback; }

}  // namespace

bool is_cached(int fd, Range range) {
  const auto found = cachestat(fd, range);
  return found.cached != 0 || found.dirty != 0 || found.writeback != 0;
}

std::uint64_t awaits_writeback_from(int fd, Range range, std::uint64_t boundary) {
  const auto found = cachestat(fd, range);
  const auto waiting = waiting_pages(found);
  if (waiting == 0) return range.end;
  const auto pages = widen(range, kPageSize);
  const auto length = std::min(waiting * kPageSize, pages.length());
  const auto from = align_down(pages.end - length, std::max(boundary, kPageSize));
  const Range tail{std::max(from, range.begin), range.end};
  const auto in_tail = tail == range ? found : cachestat(fd, tail);
  const auto count = widen(tail, kPageSize).length() / kPageSize;
  // It is as long as all that wait are, which leaves none for what lies before it.
  return in_tail.cached == count && waiting_pages(in_tail) >= count ? tail.begin : range.end;
}

Result<std::size_t> write_uncached(int fd, std::span<const std::byte> data, std::uint64_t offset,
                                   Durability durability) {
  // pwritev2 only reads from what it is given.
  const iovec part{const_cast<std::byte*>(data.data()), data.size()};
  const ssize_t written =
      ::pwritev2(fd, &part, 1, off_t(offset), RWF_NOWAIT | rwf_flag(durability));
  if (written < 0) return last_error("write the backing file past the page cache");
  return std::size_t(written);
}

}  // namespace alignfs
