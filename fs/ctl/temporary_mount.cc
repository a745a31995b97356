#include "alignfs/ctl/temporary_mount.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>

#include "alignfs/base/unique_fd.h"
#include "alignfs/ctl/commands.h"
#include "alignfs/ctl/mounts.h"

namespace alignfs::ctl {
namespace {

constexpr std::chrono::milliseconds kLook(5);
constexpr int kBusyTries = 200;

/// The daemon of the same build, else the installed one.
std::string daemon_program() {
  std::error_code none;
  const auto beside =
      std::filesystem::read_symlink("/proc/self/exe", none).parent_path() / "alignfs";
  return ::access(beside.c_str(), X_OK) == 0 ? beside.string() : "alignfs";
}

std::string new_mountpoint() {
  auto pattern = std::filesystem::temp_directory_path() / "alignctl-XXXXXX";
  auto name = pattern.string();
  if (::mkdtemp(name.data()) == nullptr) {
    throw CommandError(fmt::format("cannot make a mountpoint {}: {}", name, std::strerror(errno)));
  }
  return name;
}

[[noreturn]] void become_daemon(const char* const* arguments, int log, pid_t parent) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  // The parent may have gone before that was asked for.
  if (::getppid() != parent) ::_exit(1);
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  ::execvp(arguments[0], const_cast<char* const*>(arguments));
  ::dprintf(STDERR_FILENO, "alignfs: cannot run %s: %s\n", arguments[0], ::strerror(errno));
  ::_exit(127);
}

std::string first_line_of(int log) {
  char text[1024];
  const ssize_t got = ::pread(log, text, sizeof text, 0);
  const std::string_view said(text, std::size_t(std::max<ssize_t>(got, 0)));
  return std::string(said.substr(0, said.find('\n')));
}

bool unmount(const std::string& path) {
  if (::geteuid() == 0) return ::umount2(path.c_str(), 0) == 0;
  std::string program = "fusermount3", flags = "-qu", mountpoint = path;
  char* const arguments[] = {program.data(), flags.data(), mountpoint.data(), nullptr};
  pid_t child = -1;
  return ::posix_spawnp(&child, program.c_str(), nullptr, nullptr, arguments, environ) == 0 &&
         wait_for(child) == 0;
}

}  // namespace

int wait_for(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

TemporaryMount::TemporaryMount(const std::string& directory, const std::string& options)
    : mountpoint_(new_mountpoint()) {
  const auto program = daemon_program();
  const char* const arguments[] = {program.c_str(),     "-f",   "-o",
                                   options.c_str(),     "--",   directory.c_str(),
                                   mountpoint_.c_str(), nullptr};
  const UniqueFd log(::memfd_create("alignfs-log", MFD_CLOEXEC));
  const pid_t parent = ::getpid();
  daemon_ = ::fork();
  if (daemon_ == 0) become_daemon(arguments, log.get(), parent);
  try {
    while (!AlignfsMount::of(mountpoint_)) {
      if (daemon_ < 0 || ::waitpid(daemon_, nullptr, WNOHANG) == daemon_) {
        daemon_ = -1;
        const auto said = first_line_of(log.get());
        throw CommandError(said.empty() ? "alignfs did not mount" : said);
      }
      std::this_thread::sleep_for(kLook);
    }
  } catch (const CommandError&) {
    take_down();
    throw;
  }
}

TemporaryMount::~TemporaryMount() { take_down(); }

void TemporaryMount::take_down() {
  if (daemon_ > 0) {
    int tries = 0;
    while (!unmount(mountpoint_) && ++tries < kBusyTries) std::this_thread::sleep_for(kLook);
    // A process of the command still has a file open: the daemon takes the mount away from it.
    if (tries == kBusyTries) ::kill(daemon_, SIGTERM);
    wait_for(daemon_);
  }
  ::rmdir(mountpoint_.c_str());
}

}  // namespace alignfs::ctl
