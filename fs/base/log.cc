#include "alignfs/base/log.h"

#include <fcntl.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <syslog.h>

#include <memory>

#include "alignfs/base/unique_fd.h"

namespace alignfs {

bool is_log_level(const std::string& name) {
  // from_str() answers "off" for what it does not know.
  return name == "off" || spdlog::level::from_str(name) != spdlog::level::off;
}

Status set_up_log(LogTarget target, const std::string& level, const std::string& file) {
  std::shared_ptr<spdlog::logger> logger;
  try {
    switch (target) {
      case LogTarget::standard_error:
        logger = std::make_shared<spdlog::logger>(
            "alignfs", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
        logger->set_pattern("%Y-%m-%d %H:%M:%S.%e %^%l%$ %v");
        break;
      case LogTarget::syslog:
        logger = std::make_shared<spdlog::logger>(
            "alignfs",
            std::make_shared<spdlog::sinks::syslog_sink_mt>("alignfs", LOG_PID, LOG_DAEMON, true));
        logger->set_pattern("%v");
        break;
      case LogTarget::file: {
        // spdlog would make missing directories, and says less about what went wrong.
        const UniqueFd tried(::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
        if (!tried) return last_error("open the log");
        logger = std::make_shared<spdlog::logger>(
            "alignfs", std::make_shared<spdlog::sinks::basic_file_sink_mt>(file));
        logger->set_pattern("%Y-%m-%d %H:%M:%S.%e %l %v");
        break;
      }
    }
  } catch (const spdlog::spdlog_ex&) {
    return Error{errno != 0 ? errno : EIO, "open the log"};
  }
  logger->set_level(spdlog::level::from_str(level));
  logger->flush_on(spdlog::level::warn);
  spdlog::set_default_logger(std::move(logger));
  return {};
}

}  // namespace alignfs
