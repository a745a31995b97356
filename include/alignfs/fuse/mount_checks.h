#pragma once

#include <string>

#include "alignfs/base/options.h"

namespace alignfs {

/// SOURCE and MOUNTPOINT, made absolute, or what is wrong with them.
struct MountPaths {
  std::string source;
  std::string mountpoint;
  /// One line for a person; empty if all is well.
  std::string complaint;
};

/// Checks what can be checked before anything is mounted: SOURCE and MOUNTPOINT are directories,
/// neither lies in the other, nothing is mounted at MOUNTPOINT, FUSE is there, and where the caller
/// is not root fusermount3 as well.
MountPaths check_mount(const std::string& source, const std::string& mountpoint);

}  // namespace alignfs
