#pragma once

#include <sys/types.h>

#include <string>

namespace alignfs::ctl {

/// What waitpid(2) stores at the end of `child`, whatever signals come meanwhile.
int wait_for(pid_t child);

/// An alignfs over a directory, at a mountpoint of its own, for as long as it lives. The daemon is
/// a child in a process group of its own, so that Ctrl-C at the terminal is not meant for it, and
/// ends with this process whatever happens to that.
class TemporaryMount {
 public:
  /// `options` as after -o. CommandError with the daemon's own words if it does not mount.
  TemporaryMount(const std::string& directory, const std::string& options);
  /// Unmounts, also if that is busy, and waits for the daemon.
  ~TemporaryMount();
  TemporaryMount(const TemporaryMount&) = delete;
  TemporaryMount& operator=(const TemporaryMount&) = delete;

  const std::string& path() const { return mountpoint_; }

 private:
  void take_down();

  std::string mountpoint_;
  pid_t daemon_ = -1;
};

}  // namespace alignfs::ctl
