#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "alignfs/base/unique_fd.h"

namespace alignfs::ctl {

/// One line of /proc/self/mountinfo.
struct MountEntry {
  int id = 0;
  dev_t device = 0;
  std::string root;        ///< the directory of the filesystem that is mounted
  std::string mountpoint;  ///< where
  std::string type;        ///< "ext4", "fuse.alignfs"
  std::string source;      ///< a device, or what the filesystem calls itself
};

/// All mounts of this namespace, in the kernel's order: one that covers another comes later.
std::vector<MountEntry> list_mounts();

/// The mount that `path` lies on. CommandError if `path` is not there.
MountEntry mount_of(const std::string& path);

/// An alignfs mount, seen through its files.
class AlignfsMount {
 public:
  /// The one that `path` lies on, or nothing if that is no alignfs.
  static std::optional<AlignfsMount> of(const std::string& path);
  /// The same; CommandError if it is none.
  static AlignfsMount must_be(const std::string& path);
  /// All that are reachable from here.
  static std::vector<AlignfsMount> all();

  /// `path` as events name it: from the top of the mount, with a leading slash.
  std::string path_on_mount(const std::string& path) const;
  /// What .alignfs/NAME holds. CommandError if it may not be read, the mount is gone, or
  /// control=off.
  std::string control_file(const std::string& name) const;
  /// .alignfs/options by name. CommandError as above.
  std::map<std::string, std::string> options() const;
  /// .alignfs/events, to read what the ring holds and then EAGAIN. CommandError as above. Not to be
  /// kept: an open file keeps the mount from being unmounted.
  UniqueFd open_events() const;
  std::string events_path() const;
  /// How many there have been since the mount; nothing where that cannot be read, or the mount is
  /// gone.
  std::optional<std::uint64_t> events_published() const;

 private:
  AlignfsMount(std::string top, std::string place, std::string part)
      : top_(std::move(top)), place_(std::move(place)), part_(std::move(part)) {}

  std::string top_;
  /// Where the mount was found, and which part of it is mounted there: "" for all.
  std::string place_, part_;
};

/// The absolute path without symbolic links. CommandError where nothing is there.
std::string canonical(const std::string& path);

/// 0 for an empty text, as of an option that is not there.
std::uint32_t number_of(const std::string& text);

/// What the alignment xattr says of a file on a mount. Bytes; 0 where it does not say.
struct FileAlignment {
  std::uint32_t memory = 0, offset = 0, read_offset = 0;
  std::string source;     ///< of the offset's
  std::string direct_io;  ///< the verdict
};
/// Nothing where the file has none. CommandError as of xattr_of().
std::optional<FileAlignment> alignment_of(const std::string& path);

/// The value of an xattr, or nothing where there is none, or it is not for this user. CommandError
/// where the file cannot be asked.
std::optional<std::string> xattr_of(const std::string& path, const char* name);

}  // namespace alignfs::ctl
