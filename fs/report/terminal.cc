#include "terminal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#include <cstdio>
#include <optional>
#include <string>

#include "alignfs/base/proc_path.h"
#include "alignfs/base/unique_fd.h"
#include "proc_file.h"

namespace alignfs {
namespace {

struct Session {
  pid_t group = 0;
  dev_t terminal = 0;
  pid_t foreground = 0;
};

/// The kernel's own 32-bit form of a device number in proc_pid_stat(5).
dev_t device_of(unsigned number) {
  return makedev((number >> 8) & 0xfff, (number & 0xff) | ((number >> 12) & 0xfff00));
}

std::optional<Session> session_of(pid_t pid) {
  char buffer[1024];
  const auto stat = read_proc(pid, "stat", buffer);
  if (!stat) return std::nullopt;
  const std::string fields(behind_name(*stat));
  Session session;
  int terminal = 0;
  if (std::sscanf(fields.c_str(), " %*c %*d %d %*d %d %d", &session.group, &terminal,
                  &session.foreground) != 3) {
    return std::nullopt;
  }
  session.terminal = device_of(unsigned(terminal));
  return session;
}

bool reads_lines(int terminal) {
  termios settings{};
  return ::tcgetattr(terminal, &settings) == 0 && (settings.c_lflag & ICANON) != 0 &&
         (settings.c_oflag & OPOST) != 0;
}

}  // namespace

bool show_on_terminal_of(pid_t pid, std::string_view text) {
  const auto session = session_of(pid);
  if (!session || session->terminal == 0 || session->group != session->foreground) return false;
  const auto link = "/proc/" + std::to_string(pid) + "/fd/2";
  // Looked at before it is opened, and without asking its filesystem, which may be this very mount:
  // what is behind a descriptor is the program's to choose.
  const UniqueFd errors(::open(link.c_str(), O_PATH | O_CLOEXEC));
  struct statx facts {};
  if (!errors ||
      ::statx(errors.get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &facts) != 0 ||
      !S_ISCHR(facts.stx_mode) ||
      makedev(facts.stx_rdev_major, facts.stx_rdev_minor) != session->terminal) {
    return false;
  }
  const UniqueFd terminal(
      ::open(ProcPath(errors.get()).c_str(), O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
  if (!terminal || !reads_lines(terminal.get())) return false;
  // In one call, so that it stays in one piece.
  const auto line = std::string(text) + "\n";
  return ::write(terminal.get(), line.data(), line.size()) > 0;
}

}  // namespace alignfs
