#include "alignfs/ctl/activity.h"

#include <nlohmann/json.hpp>
#include <sstream>

namespace alignfs::ctl {

Activity look_at_activity(const AlignfsMount& mount) {
  Activity activity;
  std::istringstream lines(mount.control_file("activity"));
  for (std::string line; std::getline(lines, line);) {
    const auto object = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!object.is_object()) continue;
    if (object.contains("watch")) {
      activity.watch = object.value("watch", std::uint64_t(0));
      activity.forgotten = object.value("forgotten", std::uint64_t(0));
    } else {
      activity.rows.push_back({object.value("pid", 0), object.value("comm", ""),
                               object.value("path", ""),
                               moved_in(object.value("read", nlohmann::json::object())),
                               moved_in(object.value("write", nlohmann::json::object()))});
    }
  }
  return activity;
}

}  // namespace alignfs::ctl
