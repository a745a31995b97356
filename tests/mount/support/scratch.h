#pragma once

#include <string>

#include "mount/support/fd.h"

namespace alignfs::test {

/// An empty directory of mode 0755, removed with all it holds.
class TempDir {
 public:
  explicit TempDir(const std::string& parent = "/tmp");
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// Unmounts `path`, waiting for a busy mount to become free; detaches it lazily if it does not.
/// True if it went the regular way, or was no mount.
bool unmount(const std::string& path);

/// True if something is mounted at `path`. Never touches the mount itself.
bool is_mounted(const std::string& path);

/// A tmpfs of its own. Needs root.
class TmpfsDir {
 public:
  explicit TmpfsDir(const std::string& options = "size=512m");
  ~TmpfsDir();

  const std::string& path() const { return directory_.path(); }

 private:
  TempDir directory_;
};

/// A disk with real sectors of a chosen size: a loop device over a sparse file in memory, with a
/// filesystem on it. Needs root.
class LoopDisk {
 public:
  struct Shape {
    unsigned sector = 4096;
    std::string filesystem = "ext4";
    std::string mkfs_options = "";   ///< as on a command line, "-O none"
    std::string mount_options = "";  ///< for mount -o
    unsigned megabytes = 384;        ///< XFS needs 300 and more
  };

  explicit LoopDisk(const Shape& shape);
  ~LoopDisk();
  LoopDisk(const LoopDisk&) = delete;
  LoopDisk& operator=(const LoopDisk&) = delete;

  const std::string& path() const { return directory_.path(); }
  std::string operator/(const std::string& name) const { return directory_ / name; }
  /// "loop7"
  const std::string& device() const { return device_; }
  /// Cache flushes the device has carried out so far.
  unsigned long long flushes() const;
  /// Unmounts the filesystem and mounts it again: what it holds afterwards comes from the disk.
  void remount();

 private:
  void mount_device() const;

  const Shape shape_;
  TempDir directory_;
  std::string device_;
};

}  // namespace alignfs::test
