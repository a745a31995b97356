#include "alignfs/io/fault_guard.h"

#include <ucontext.h>

#include <algorithm>
#include <atomic>
#include <csetjmp>
#include <csignal>
#include <cstdint>
#include <cstring>

#include "alignfs/base/alignment.h"

namespace alignfs {
namespace {

/// Where this thread goes on after a fault; null outside of copy_guarded().
thread_local sigjmp_buf* volatile way_out = nullptr;

void on_bus_error(int signal, siginfo_t* info, void* context) {
  // Memory was found bad that nobody has touched yet: who does gets a signal of his own.
  if (info->si_code == BUS_MCEERR_AO) return;
  const bool sent = info->si_code <= 0;  // by kill(2) and the like
  sigjmp_buf* const target = way_out;
  if (target != nullptr && !sent) {
    // Leaving a handler by a jump leaves its signal mask in force. To have sigsetjmp() save the
    // right one would cost a system call a copy.
    ::pthread_sigmask(SIG_SETMASK, &static_cast<ucontext_t*>(context)->uc_sigmask, nullptr);
    siglongjmp(*target, 1);
  }
  // Not ours. A fault comes again and ends the process where it happened, a signal does not.
  ::signal(signal, SIG_DFL);
  if (sent) ::raise(signal);
}

}  // namespace

void install_fault_guard() {
  struct sigaction action {};
  action.sa_sigaction = &on_bus_error;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  sigaddset(&action.sa_mask, SIGBUS);
  ::sigaction(SIGBUS, &action, nullptr);
  // A fault that finds it blocked ends the process, and whoever started the daemon may have blocked
  // it.
  ::pthread_sigmask(SIG_UNBLOCK, &action.sa_mask, nullptr);
}

std::size_t copy_guarded(std::byte* to, const std::byte* from, std::size_t size) {
  // Volatile, because it changes between sigsetjmp and siglongjmp.
  volatile std::size_t done = 0;
  sigjmp_buf here;
  if (sigsetjmp(here, 0) == 0) {
    way_out = &here;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    while (done < size) {
      // Page by page, so that nothing before a missing one is missed too.
      const auto place = reinterpret_cast<std::uintptr_t>(from + done);
      const std::size_t piece = std::min(size - done, kPageSize - place % kPageSize);
      std::memcpy(to + done, from + done, piece);
      std::atomic_signal_fence(std::memory_order_seq_cst);
      done = done + piece;
    }
  }
  std::atomic_signal_fence(std::memory_order_seq_cst);
  way_out = nullptr;
  return done;
}

}  // namespace alignfs
