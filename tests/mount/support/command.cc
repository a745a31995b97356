#include "mount/support/command.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <thread>

#include "mount/support/fd.h"

namespace alignfs::test {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// Outputs go to memory files, not pipes: a daemon that keeps them open cannot hold up the reader.
Fd memory_file() {
  Fd fd(memfd_create("output", MFD_CLOEXEC));
  if (!fd) throw std::system_error(errno, std::generic_category(), "memfd_create");
  return fd;
}

std::string content_of(const Fd& fd) {
  std::string content;
  char chunk[4096];
  for (off_t at = 0;; at = static_cast<off_t>(content.size())) {
    const ssize_t got = pread(fd.get(), chunk, sizeof chunk, at);
    if (got <= 0) return content;
    content.append(chunk, static_cast<std::size_t>(got));
  }
}

pid_t spawn(const std::vector<std::string>& arguments, int out, int err, bool die_with_parent) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const pid_t pid = fork();
  if (pid < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid > 0) return pid;
  setpgid(0, 0);
  if (die_with_parent) prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int null = open("/dev/null", O_RDONLY);
  dup2(null, STDIN_FILENO);
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  execvp(argv[0], argv.data());
  dprintf(STDERR_FILENO, "cannot run %s: errno %d\n", argv[0], errno);
  _exit(127);
}

}  // namespace

int exit_status(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

bool wait_for_exit(pid_t pid, milliseconds limit, int* wait_status) {
  const auto end = steady_clock::now() + limit;
  while (true) {
    const pid_t got = waitpid(pid, wait_status, WNOHANG);
    if (got == pid) return true;
    if (got < 0 && errno != EINTR) return false;
    if (steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(milliseconds(1));
  }
}

Outcome run(const std::vector<std::string>& arguments, milliseconds limit) {
  const Fd out = memory_file();
  const Fd err = memory_file();
  const pid_t pid = spawn(arguments, out.get(), err.get(), false);
  int status = 0;
  if (!wait_for_exit(pid, limit, &status)) {
    kill(-pid, SIGKILL);
    waitpid(pid, &status, 0);
  }
  return {exit_status(status), content_of(out), content_of(err)};
}

void run_checked(const std::vector<std::string>& arguments) {
  const Outcome outcome = run(arguments);
  if (outcome.status == 0) return;
  std::string line;
  for (const std::string& argument : arguments) line += argument + " ";
  throw std::runtime_error(line + "failed with status " + std::to_string(outcome.status) + ": " +
                           outcome.err);
}

pid_t start(const std::vector<std::string>& arguments, int output) {
  return spawn(arguments, output, output, true);
}

int as_user(uid_t uid, gid_t gid, const std::vector<gid_t>& groups,
            const std::function<int()>& body) {
  const pid_t pid = fork();
  if (pid < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid == 0) {
    int result = 255;
    if (setgroups(groups.size(), groups.data()) == 0 && setresgid(gid, gid, gid) == 0 &&
        setresuid(uid, uid, uid) == 0) {
      try {
        result = body();
      } catch (const std::system_error& error) {
        result = error.code().value();
      }
    }
    _exit(result);
  }
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

}  // namespace alignfs::test
