#pragma once

#include <ctime>
#include <string>

namespace alignfs {

/// A time of CLOCK_REALTIME as RFC 3339 has it, in UTC: "2026-03-01T12:34:56.000789Z".
std::string utc_time(const timespec& time);

}  // namespace alignfs
