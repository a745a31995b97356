#include "alignfs/ctl/stop_signals.h"

#include <poll.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>

namespace alignfs::ctl {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM};

std::atomic<bool> stopped{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler stores it");

void stop(int) { stopped = true; }

timespec until(StopSignals::Deadline deadline) {
  using std::chrono::nanoseconds;
  const auto left =
      std::max(nanoseconds(0), nanoseconds(deadline - StopSignals::Deadline::clock::now()));
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
  return {time_t(seconds.count()), long((left - seconds).count())};
}

}  // namespace

StopSignals::StopSignals() {
  for (const int signal : kSignals) {
    struct sigaction before {};
    ::sigaction(signal, nullptr, &before);
    if (before.sa_handler == SIG_IGN) continue;
    struct sigaction action {};
    action.sa_handler = stop;
    action.sa_flags = SA_RESETHAND;
    ::sigaction(signal, &action, nullptr);
  }
}

StopSignals::Woken StopSignals::wait(int input, Deadline deadline) {
  // Blocked until ppoll(2) lets them in: one that came between the look and the wait would be lost.
  sigset_t mine, before;
  sigemptyset(&mine);
  for (const int signal : kSignals) sigaddset(&mine, signal);
  ::sigprocmask(SIG_BLOCK, &mine, &before);
  pollfd wanted{input, POLLIN, 0};
  const timespec patience = until(deadline);
  const int ready = stopped ? 0 : ::ppoll(&wanted, 1, &patience, &before);
  const int error = errno;
  ::sigprocmask(SIG_SETMASK, &before, nullptr);

  if (stopped) return Woken::stop;
  if (ready > 0) return (wanted.revents & POLLHUP) != 0 ? Woken::closed : Woken::input;
  return ready < 0 && error == EINTR ? Woken::input : Woken::time;
}

}  // namespace alignfs::ctl
