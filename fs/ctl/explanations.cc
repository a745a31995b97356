#include "alignfs/ctl/explanations.h"

#include <algorithm>

#include "alignfs/ctl/commands.h"

namespace alignfs::ctl {

bool Subject::holds(const Event& event) const {
  if (pid && field(event, "pid") != (*pid == 0 ? "" : std::to_string(*pid))) return false;
  return !path || field(event, "path") == *path;
}

std::deque<Event> newest(const std::vector<AlignfsMount>& mounts, const Subject& subject,
                         unsigned count) {
  std::deque<Event> found;
  for (const auto& mount : mounts) {
    try {
      EventReader reader(mount.open_events());
      while (auto event = reader.next()) {
        if (subject.holds(*event)) found.push_back(*std::move(event));
      }
    } catch (const CommandError&) {
      if (mounts.size() == 1) throw;
    }
  }
  std::stable_sort(found.begin(), found.end(), [](const Event& one, const Event& other) {
    return field(one, "time") < field(other, "time");
  });
  while (found.size() > count) found.pop_front();
  return found;
}

}  // namespace alignfs::ctl
