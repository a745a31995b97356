#include "alignfs/io/fault_guard.h"

#include <algorithm>
#include <atomic>
#include <csetjmp>
#include <csignal>
#include <cstdint>
#include <cstring>

#include "alignfs/base/alignment.h"

#ifdef __SANITIZE_THREAD__
extern "C" void AnnotateIgnoreReadsBegin(const char* file, int line);
extern "C" void AnnotateIgnoreReadsEnd(const char* file, int line);
#endif

namespace alignfs {
namespace {

/// Programs that read and write the same bytes at one time race, on the backing as on the mount:
/// that is their business and not for the thread sanitizer to report.
struct RaceOfPrograms {
#ifdef __SANITIZE_THREAD__
  RaceOfPrograms() { AnnotateIgnoreReadsBegin(__FILE__, __LINE__); }
  ~RaceOfPrograms() { AnnotateIgnoreReadsEnd(__FILE__, __LINE__); }
#else
  RaceOfPrograms() {}
#endif
};

/// Where this thread goes on after a fault; null outside of copy_guarded().
thread_local sigjmp_buf* volatile way_out = nullptr;

void on_bus_error(int signal, siginfo_t* info, void*) {
  // Memory was found bad that nobody has touched yet: who does gets a signal of his own.
  if (info->si_code == BUS_MCEERR_AO) return;
  const bool sent = info->si_code <= 0;  // by kill(2) and the like
  sigjmp_buf* const target = way_out;
  if (target != nullptr && !sent) siglongjmp(*target, 1);
  // Not ours. A fault comes again and ends the process where it happened, a signal does not.
  ::signal(signal, SIG_DFL);
  if (sent) ::raise(signal);
}

}  // namespace

void install_fault_guard() {
  struct sigaction action {};
  action.sa_sigaction = &on_bus_error;
  // SA_NODEFER: siglongjmp leaves the handler without restoring the mask, which would cost a system
  // call a copy to save.
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  ::sigaction(SIGBUS, &action, nullptr);
}

std::size_t copy_guarded(std::byte* to, const std::byte* from, std::size_t size) {
  const RaceOfPrograms expected;
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
