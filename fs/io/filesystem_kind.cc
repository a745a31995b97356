#include "alignfs/io/filesystem_kind.h"

#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>
#include <iterator>

namespace alignfs {

bool is_local_disk_filesystem(int fd) {
  constexpr unsigned kF2fs = 0xf2f52010;      // F2FS_SUPER_MAGIC
  constexpr unsigned kBcachefs = 0xca451a4e;  // BCACHEFS_SUPER_MAGIC
  constexpr unsigned kKnown[] = {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC, kF2fs,
                                 kBcachefs};
  struct statfs figures {};
  return ::fstatfs(fd, &figures) == 0 && std::find(std::begin(kKnown), std::end(kKnown),
                                                   unsigned(figures.f_type)) != std::end(kKnown);
}

}  // namespace alignfs
