#include "alignfs/ctl/commands.h"

#include <fmt/format.h>

#include <cstring>

namespace alignfs::ctl {

CommandError cannot(const char* what, const std::string& path, int error) {
  return CommandError(fmt::format("cannot {} {}: {}", what, path, std::strerror(error)));
}

}  // namespace alignfs::ctl
