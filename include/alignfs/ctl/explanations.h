#pragma once

#include <sys/types.h>

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "alignfs/ctl/events.h"
#include "alignfs/ctl/mounts.h"

namespace alignfs::ctl {

/// Whose events are meant: of this process, of this file, or of this process on this file. Of all
/// where neither is said.
struct Subject {
  std::optional<pid_t> pid;         ///< 0: no program, as .alignfs/activity has it
  std::optional<std::string> path;  ///< from the top of the mount

  bool holds(const Event& event) const;
  bool operator==(const Subject&) const = default;
};

/// The newest `count` of those that `mounts` have kept, oldest first. CommandError if they cannot
/// be read; among several mounts, those that cannot be read are left out.
std::deque<Event> newest(const std::vector<AlignfsMount>& mounts, const Subject& subject,
                         unsigned count);

}  // namespace alignfs::ctl
