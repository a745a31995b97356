#pragma once

#include <ctime>
#include <optional>
#include <string>

#include "alignfs/ctl/stats.h"

namespace alignfs::ctl {

/// The time of a look, and how many seconds it tells of: all since the mount where that is nothing.
struct Span {
  timespec end{};
  std::optional<double> seconds;
};

/// For people: a line of time, a table, and lines of sums; each ends with a newline.
std::string stats_text(const Stats& stats, const Span& span);
/// One object as docs/schemas/stats.schema.json has it, without a newline.
std::string stats_json(const Stats& stats, const Span& span);

}  // namespace alignfs::ctl
