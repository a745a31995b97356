#include "alignfs/io/filesystem_kind.h"

#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>
#include <initializer_list>

namespace alignfs {

namespace {

bool is_one_of(int fd, std::initializer_list<unsigned> kinds) {
  struct statfs figures {};
  return ::fstatfs(fd, &figures) == 0 &&
         std::find(kinds.begin(), kinds.end(), unsigned(figures.f_type)) != kinds.end();
}

}  // namespace

bool is_local_disk_filesystem(int fd) {
  constexpr unsigned kF2fs = 0xf2f52010;      // F2FS_SUPER_MAGIC
  constexpr unsigned kBcachefs = 0xca451a4e;  // BCACHEFS_SUPER_MAGIC
  return is_one_of(fd, {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC, kF2fs, kBcachefs});
}

bool is_local_filesystem(int fd) {
  return is_local_disk_filesystem(fd) || is_one_of(fd, {TMPFS_MAGIC, RAMFS_MAGIC});
}

}  // namespace alignfs
