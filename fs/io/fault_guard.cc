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
extern "C" void AnnotateIgnoreWritesBegin(const char* file, int line);
extern "C" void AnnotateIgnoreWritesEnd(const char* file, int line);
#endif

namespace alignfs {
namespace {

/// Programs that read and write the same bytes at one time race, on the backing as on the mount:
/// that is their business and not for the thread sanitizer to report.
struct RaceOfPrograms {
#ifdef __SANITIZE_THREAD__
  RaceOfPrograms() {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  }
  ~RaceOfPrograms() {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
#else
  RaceOfPrograms() {}
#endif
};

/// Where this thread goes on after a fault; null outside of copy_guarded().
thread_local sigjmp_buf* volatile way_out = nullptr;

void on_bus_error(int signal, siginfo_t*, void*) {
  if (sigjmp_buf* const target = way_out) siglongjmp(*target, 1);
  // Not ours: the same fault again, with the default action.
  ::signal(signal, SIG_DFL);
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
      // Page by page of the target: a store that finds no room has left nothing behind it.
      const auto target = reinterpret_cast<std::uintptr_t>(to + done);
      const std::size_t piece = std::min(size - done, kPageSize - target % kPageSize);
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
