#include "alignfs/fuse/machine_setting.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

namespace alignfs::kernel {

Result<MachineSetting> MachineSetting::open(const char* path, int flags) {
  UniqueFd fd(::open(path, flags | O_CLOEXEC));
  if (!fd) return last_error("open a setting of the machine");
  return MachineSetting(std::move(fd));
}

Status MachineSetting::take_turn(std::chrono::milliseconds patience) {
  constexpr std::chrono::milliseconds kPause(5);
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (::flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return last_error("lock a setting of the machine");
    if (std::chrono::steady_clock::now() > deadline) {
      return Error{EBUSY, "somebody holds a setting of the machine locked"};
    }
    std::this_thread::sleep_for(kPause);
  }
  return {};
}

std::string MachineSetting::read() const {
  char text[32];
  const auto size = ::pread(fd_.get(), text, sizeof text, 0);
  const std::string value(text, std::size_t(std::max<ssize_t>(size, 0)));
  return value.substr(0, value.find('\n'));
}

Status MachineSetting::write(const std::string& value) {
  if (::pwrite(fd_.get(), value.data(), value.size(), 0) == ssize_t(value.size())) return {};
  return last_error("write a setting of the machine");
}

}  // namespace alignfs::kernel
