#pragma once

namespace alignfs {

/// True if the file or directory at `fd` (O_PATH will do) is on a filesystem that has nothing
/// between its page cache and a disk of its own: ext4, XFS, btrfs, f2fs, bcachefs. There
///
/// - a mapping always shows what read(2) would, and reading it changes nothing. Not so on tmpfs,
///   where reading a hole by a mapping fills it; on overlay, where the mapping stays with the lower
///   file after a copy-up; and over a network or FUSE, where only read(2) asks whether the pages
///   are still good.
/// - close(2) has nothing to report: errors of writeback are told by fsync(2) alone. Networks and
///   FUSE send data off at close.
bool is_local_disk_filesystem(int fd);

/// True if nothing stands behind the file or directory at `fd` but disks and memory of this
/// machine: the filesystems above, tmpfs and ramfs. What they know of names and attributes they
/// tell at once as a rule, where others ask a server or another filesystem first.
bool is_local_filesystem(int fd);

}  // namespace alignfs
