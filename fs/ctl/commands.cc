#include "alignfs/ctl/commands.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstring>

namespace alignfs::ctl {

CommandError cannot(const char* what, const std::string& path, int error) {
  return CommandError(fmt::format("cannot {} {}: {}", what, path, std::strerror(error)));
}

void print_now(const std::string& text) {
  fmt::print("{}", text);
  if (std::fflush(stdout) != 0) throw CommandError("cannot write to the standard output");
}

}  // namespace alignfs::ctl
