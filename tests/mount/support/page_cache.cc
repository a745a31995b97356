#include "mount/support/page_cache.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "mount/support/fd.h"

namespace alignfs::test {

PageCache page_cache_of(const std::string& path) {
  struct {
    std::uint64_t offset, length;
  } range{0, 0};
  PageCache result{};
  constexpr long kCachestat = 451;  // in no libc yet
  const Fd fd = open_file(path, O_RDONLY);
  if (syscall(kCachestat, fd.get(), &range, &result, 0) != 0) {
    throw std::system_error(errno, std::generic_category(), "cachestat");
  }
  return result;
}

}  // namespace alignfs::test
