#include "alignfs/report/caller.h"

#include <sched.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <ctime>

#include "alignfs/base/unique_fd.h"
#include "proc_file.h"
#include "proc_syscall.h"

namespace alignfs {
namespace {

/// Looks behind the numbers in a thread that is really there.
class LiveCaller : public CallerState {
 public:
  explicit LiveCaller(pid_t tid) : tid_(tid) {}

  int read_memory(std::span<const std::uint64_t> addresses, std::size_t bytes_each,
                  void* into) const override {
    // process_vm_readv takes at most IOV_MAX remote pieces; callers keep to kMaxSegments.
    std::vector<iovec> remote(addresses.size());
    std::transform(addresses.begin(), addresses.end(), remote.begin(), [&](std::uint64_t address) {
      // NOLINTNEXTLINE(performance-no-int-to-ptr): an address in another process
      return iovec{reinterpret_cast<void*>(address), bytes_each};
    });
    iovec local{into, bytes_each * addresses.size()};
    const ssize_t got = process_vm_readv(tid_, &local, 1, remote.data(), remote.size(), 0);
    if (got < 0) return errno;
    return std::size_t(got) == local.iov_len ? 0 : EFAULT;
  }

  std::optional<DescriptorInfo> descriptor(int fd) const override {
    char name[32];
    std::snprintf(name, sizeof name, "fdinfo/%d", fd);
    char buffer[256];
    const auto text = read_proc(tid_, name, buffer);
    if (!text) return std::nullopt;
    const auto position = number_after(*text, "pos:");
    const auto flags = number_after(*text, "flags:", 8);
    if (!position || !flags) return std::nullopt;
    return DescriptorInfo{*position, int(*flags), number_after(*text, "ino:")};
  }

 private:
  pid_t tid_;
};

/// /proc/TID/syscall of a few callers, kept open: most requests are one of those again, and to open
/// the file costs twice what it costs to read it. One for each thread that looks.
class SyscallFiles {
 public:
  Result<std::string_view> read(pid_t tid, std::span<char> buffer) {
    auto* const kept = std::find_if(files_.begin(), files_.end(),
                                    [tid](const Kept& file) { return file.tid == tid; });
    // An open file stays with the thread it was opened for. When that is gone reading fails, and
    // its number may be another's.
    if (kept != files_.end()) {
      if (auto text = read_proc(kept->file.get(), buffer)) return text;
      *kept = {};
    }
    auto file = open_proc(tid, "syscall");
    if (!file) return file.error();
    auto text = read_proc(file->get(), buffer);
    if (text) files_[oldest_++ % files_.size()] = {tid, *std::move(file)};
    return text;
  }

 private:
  struct Kept {
    pid_t tid = 0;
    UniqueFd file;
  };
  std::array<Kept, 4> files_;
  std::size_t oldest_ = 0;
};

/// Reads /proc/TID/syscall of a thread that is about to wait. The request is on its way before its
/// thread has gone to sleep, and until then the kernel says no more than "running". Gives up after
/// about 5 ms: a thread that submitted and went on computing stays "running".
Result<std::string_view> read_syscall(pid_t tid, std::span<char> buffer) {
  constexpr int kYields = 2;
  constexpr int kAttempts = 10;
  thread_local SyscallFiles files;
  auto text = files.read(tid, buffer);
  long nanoseconds = 20'000;
  for (int attempt = 0; attempt < kAttempts && text && text->starts_with("running"); ++attempt) {
    if (attempt < kYields) {
      sched_yield();
    } else {
      const timespec pause{0, nanoseconds};
      nanosleep(&pause, nullptr);
      nanoseconds *= 2;
    }
    text = files.read(tid, buffer);
  }
  return text;
}

std::string why_unreadable(int error) {
  switch (error) {
    case EACCES:
    case EPERM: return "may not trace the caller (ptrace permission)";
    case ENOENT:
    case ESRCH: return "the calling thread is gone";
    default: return std::string("/proc/TID/syscall: ") + strerrordesc_np(error);
  }
}

/// io_uring does what cannot be done at once in threads of its own, named after their job.
bool is_ring_worker(pid_t tid) {
  char buffer[32];
  const auto comm = read_proc(tid, "comm", buffer);
  return comm && (comm->starts_with("iou-wrk") || comm->starts_with("iou-sqp"));
}

}  // namespace

CallView observe_call(const Fragment& fragment) {
  const pid_t tid = fragment.requester.tid;
  if (tid == 0) return unseen_view(fragment, "the kernel names no caller");
  char buffer[256];
  const auto text = read_syscall(tid, buffer);
  CallView view = text ? view_of_syscall(*text, fragment, LiveCaller(tid))
                       : unseen_view(fragment, why_unreadable(text.code()));
  if (view.kind != CallView::Kind::seen && is_ring_worker(tid)) {
    return unseen_view(fragment, "io_uring: the request runs outside the caller's system call");
  }
  return view;
}

}  // namespace alignfs
