#include "alignfs/fuse/daemon.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace alignfs {
namespace {

/// First byte of the child's message; the complaint follows kFailed.
constexpr char kSucceeded = '+';
constexpr char kFailed = '-';

[[noreturn]] void wait_for_child(int from_child) {
  std::string message;
  char piece[512];
  ssize_t got = 0;
  while ((got = ::read(from_child, piece, sizeof piece)) > 0 || (got < 0 && errno == EINTR)) {
    if (got > 0) message.append(piece, std::size_t(got));
  }
  if (message.starts_with(kSucceeded)) ::_exit(0);
  const std::string complaint =
      message.starts_with(kFailed) ? message.substr(1) : "the daemon ended before it had mounted";
  std::fprintf(stderr, "alignfs: %s\n", complaint.c_str());
  ::_exit(1);
}

void send(const UniqueFd& to, const std::string& message) {
  std::size_t done = 0;
  while (done < message.size()) {
    const auto put = ::write(to.get(), message.data() + done, message.size() - done);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return;
    done += std::size_t(put);
  }
}

}  // namespace

Daemon::Daemon() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    std::fprintf(stderr, "alignfs: pipe: %s\n", std::strerror(errno));
    std::exit(1);
  }
  const UniqueFd from_child(ends[0]);
  to_parent_.reset(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) {
    std::fprintf(stderr, "alignfs: fork: %s\n", std::strerror(errno));
    std::exit(1);
  }
  if (child == 0) {
    ::setsid();
    return;
  }
  to_parent_.reset();
  wait_for_child(from_child.get());
}

void Daemon::succeeded() {
  // Nothing of the caller's is held on to: neither its directory nor its terminal.
  if (::chdir("/") != 0) return failed("cannot change to /");
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (int fd = 0; fd <= 2; ++fd) ::dup2(null.get(), fd);
  send(to_parent_, std::string(1, kSucceeded));
  to_parent_.reset();
}

void Daemon::failed(const std::string& complaint) {
  send(to_parent_, kFailed + complaint);
  to_parent_.reset();
}

}  // namespace alignfs
