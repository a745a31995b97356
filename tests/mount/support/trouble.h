#pragma once

#include <sys/types.h>

#include <string>

#include "mount/support/fd.h"
#include "mount/support/scratch.h"

namespace alignfs::test {

/// A directory seen through a disk in trouble, to be the SOURCE of an alignfs mount: see
/// tests/trouble/trouble_fs.cc for the options. In use from construction to destruction; must
/// outlive the mount over it. Needs root.
class TroubleFs {
 public:
  /// Throws std::runtime_error with what the program said if the mount does not come up.
  TroubleFs(const std::string& backing, const std::string& options);
  ~TroubleFs();
  TroubleFs(const TroubleFs&) = delete;
  TroubleFs& operator=(const TroubleFs&) = delete;

  const std::string& path() const { return mountpoint_.path(); }
  std::string operator/(const std::string& name) const { return mountpoint_ / name; }

 private:
  void wait_for_mount();
  void end();

  TempDir mountpoint_;
  TempDir files_;
  Fd log_;
  pid_t pid_ = -1;
};

/// The program behind it.
std::string trouble_fs_binary();

}  // namespace alignfs::test
