#pragma once

#include <string>

#include "alignfs/base/unique_fd.h"

namespace alignfs {

/// The way from a terminal into the background. The parent waits until the child says how the mount
/// went, so that the exit status of the command is the mount's outcome.
class Daemon {
 public:
  /// Forks. Returns in the child alone; the parent prints the complaint, if there is one, and exits
  /// with 0 or 1. Must come before any thread is made.
  Daemon();

  /// Lets the parent exit with success, and leaves its terminal and working directory.
  void succeeded();
  /// Lets the parent print `complaint` and exit with 1.
  void failed(const std::string& complaint);

 private:
  UniqueFd to_parent_;
};

}  // namespace alignfs
