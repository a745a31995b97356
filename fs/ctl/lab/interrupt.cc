#include "alignfs/ctl/lab/interrupt.h"

#include <csignal>
#include <initializer_list>

namespace alignfs::ctl::lab {
namespace {

volatile std::sig_atomic_t interrupt = 0, end = 0;

void note(int signal) {
  if (signal != SIGINT && end != 0) {
    // Asked twice: something hangs, and what is left behind is left.
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
  interrupt = 1;
  if (signal != SIGINT) end = 1;
}

}  // namespace

void take_interrupts() {
  struct sigaction action {};
  action.sa_handler = note;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
    ::sigaction(signal, &action, nullptr);
  }
  // Past the limit of a file's size the call is to say so: EFBIG.
  std::signal(SIGXFSZ, SIG_IGN);
}

bool interrupted() { return interrupt != 0; }
void forget_interrupt() { interrupt = end; }
bool asked_to_end() { return end != 0; }

}  // namespace alignfs::ctl::lab
