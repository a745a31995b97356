#include "alignfs/ctl/lab/interrupt.h"

#include <sys/eventfd.h>

#include <cerrno>
#include <csignal>
#include <initializer_list>

namespace alignfs::ctl::lab {
namespace {

volatile std::sig_atomic_t interrupt = 0, end = 0;
/// An eventfd: a signal between a look at the flags and a wait is not waited for.
int wake_up = -1;

void note(int signal) {
  if (signal != SIGINT && end != 0) {
    // Asked twice: something hangs, and what is left behind is left.
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
  interrupt = 1;
  if (signal != SIGINT) end = 1;
  const int error = errno;
  ::eventfd_write(wake_up, 1);
  errno = error;
}

}  // namespace

void take_interrupts() {
  wake_up = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  struct sigaction action {};
  action.sa_handler = note;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
    ::sigaction(signal, &action, nullptr);
  }
  // Past the limit of a file's size the call is to say so: EFBIG.
  std::signal(SIGXFSZ, SIG_IGN);
}

bool interrupted() { return interrupt != 0; }
int interrupt_fd() { return wake_up; }

void forget_interrupt() {
  if (end != 0) return;
  eventfd_t count = 0;
  ::eventfd_read(wake_up, &count);
  interrupt = 0;
  // One that came between the two, and an end whenever it came, is still to be seen.
  if (::eventfd_read(wake_up, &count) == 0 || end != 0) {
    interrupt = 1;
    ::eventfd_write(wake_up, 1);
  }
}

bool asked_to_end() { return end != 0; }

}  // namespace alignfs::ctl::lab
