#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "mount/support/command.h"
#include "mount/support/scratch.h"

namespace alignfs::test {

/// The program under test: the environment variable ALIGNFS_BIN. Throws where it is not set.
std::string alignfs_binary();

/// True if the program under test was built with a sanitizer (ALIGNFS_SANITIZED is set): slower,
/// and of another size in memory.
bool sanitized();

/// The most patient wait for something that normally takes milliseconds.
constexpr std::chrono::milliseconds kPatience = std::chrono::seconds(60);

/// An alignfs mount on a mountpoint of its own, in use from construction to destruction.
///
/// The daemon is a child of this process either way, so that its end can be judged: it must exit
/// with 0 and must not have logged a crash, or the test fails.
class Mount {
 public:
  enum class Style {
    foreground,  ///< alignfs -f
    daemon,      ///< alignfs, which returns once the mount answers
  };

  /// Throws std::runtime_error with the daemon's messages if the mount does not come up.
  explicit Mount(const std::string& source, const std::string& options = "",
                 Style style = Style::foreground);
  ~Mount();
  Mount(const Mount&) = delete;
  Mount& operator=(const Mount&) = delete;

  const std::string& path() const { return mountpoint_.path(); }
  std::string operator/(const std::string& name) const { return mountpoint_ / name; }
  /// The process that serves the mount.
  pid_t pid() const { return pid_; }
  /// What the daemon wrote to its standard output and error so far.
  std::string log() const;

  /// Unmounts, waits for the daemon, and gives its exit status (128 + signal where it was killed).
  /// The mount is over; a second call gives the same. Reports what a healthy end must not show.
  int stop();

  /// Sends `signal` to the daemon and waits for its end. The mount is over afterwards, and any
  /// exit status is accepted: it is returned for the test to judge.
  int kill(int signal);

 private:
  void start_foreground(const std::vector<std::string>& command);
  void start_daemon(const std::vector<std::string>& command);
  void judge_log() const;

  TempDir mountpoint_;
  TempDir files_;
  Fd log_;
  pid_t pid_ = -1;
  bool over_ = false;
  int status_ = 0;
};

}  // namespace alignfs::test
