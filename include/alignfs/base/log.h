#pragma once

#include <spdlog/spdlog.h>

#include <string>

#include "alignfs/base/result.h"

namespace alignfs {

/// Where the log goes.
enum class LogTarget { standard_error, syslog, file };

/// Replaces the process's default spdlog logger. `level` is a spdlog level name ("info"); `file` is
/// used with LogTarget::file alone. Call it once, before other threads log; in a daemon after
/// fork(). Everything else logs with spdlog::info() and its siblings, which are thread-safe.
Status set_up_log(LogTarget target, const std::string& level, const std::string& file);

/// True if spdlog knows a level of this name.
bool is_log_level(const std::string& name);

}  // namespace alignfs
