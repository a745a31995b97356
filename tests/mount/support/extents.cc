#include "mount/support/extents.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <new>
#include <system_error>

#include "mount/support/fd.h"

namespace alignfs::test {

std::vector<fiemap_extent> extents_of(const std::string& path, std::uint64_t offset,
                                      std::uint64_t length) {
  constexpr unsigned kExtents = 64;
  alignas(fiemap) char storage[sizeof(fiemap) + kExtents * sizeof(fiemap_extent)] = {};
  auto* const map = new (storage) fiemap{};
  map->fm_start = offset;
  map->fm_length = length;
  map->fm_extent_count = kExtents;
  const Fd file = open_file(path, O_RDONLY);
  if (ioctl(file.get(), FS_IOC_FIEMAP, map) != 0) {
    throw std::system_error(errno, std::generic_category(), "fiemap");
  }
  return {map->fm_extents, map->fm_extents + map->fm_mapped_extents};
}

}  // namespace alignfs::test
