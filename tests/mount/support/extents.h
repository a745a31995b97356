#pragma once

#include <linux/fiemap.h>

#include <cstdint>
#include <string>
#include <vector>

namespace alignfs::test {

/// Where the disk holds the range of the file: FS_IOC_FIEMAP, the first 64 extents. Nothing is
/// written out for it. Throws std::system_error where the filesystem does not tell.
std::vector<fiemap_extent> extents_of(const std::string& path, std::uint64_t offset,
                                      std::uint64_t length);

}  // namespace alignfs::test
