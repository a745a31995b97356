#include "alignfs/base/unique_fd.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace alignfs {

void UniqueFd::reset(int fd) {
  // EINTR is no failure on Linux: the descriptor is gone, and closing it again would race.
  if (fd_ >= 0 && ::close(fd_) != 0 && errno != EINTR) {
    spdlog::warn("close of descriptor {}: {}", fd_, std::strerror(errno));
  }
  fd_ = fd;
}

}  // namespace alignfs
