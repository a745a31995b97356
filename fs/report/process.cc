#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <mutex>
#include <utility>

#include "alignfs/report/caller.h"
#include "coarse_clock.h"
#include "executable.h"
#include "lru_map.h"
#include "proc_file.h"

namespace alignfs {
namespace {

/// Id of the process that thread `tid` belongs to; 0 if it is gone.
pid_t process_of(pid_t tid) {
  char buffer[512];
  const auto status = read_proc(tid, "status", buffer);
  return status ? pid_t(number_after(*status, "Tgid:").value_or(0)) : 0;
}

std::string comm_of(pid_t pid) {
  char buffer[64];
  const auto comm = read_proc(pid, "comm", buffer);
  if (!comm) return "";
  return std::string(comm->ends_with('\n') ? comm->substr(0, comm->size() - 1) : *comm);
}

bool is_within_a_second(const timespec& then, const timespec& now) {
  const auto elapsed = (now.tv_sec - then.tv_sec) * 1'000'000'000LL + now.tv_nsec - then.tv_nsec;
  return elapsed < 1'000'000'000LL;
}

struct Remembered {
  Process process;
  timespec since{};
};

}  // namespace

std::optional<unsigned> processor_of(pid_t tid) {
  // /proc/TID/stat would add up the times of all threads of the process.
  char name[32];
  std::snprintf(name, sizeof name, "task/%d/stat", int(tid));
  char buffer[1024];
  const auto stat = read_proc(tid, name, buffer);
  if (!stat) return std::nullopt;
  auto fields = behind_name(*stat);
  // From the blank before the third field to the one before the 39th.
  for (int field = 3; field < 39; ++field) {
    fields = fields.substr(std::min(fields.find(' ', 1), fields.size()));
  }
  fields = fields.substr(std::min<std::size_t>(1, fields.size()));
  unsigned processor = 0;
  const auto parsed = std::from_chars(fields.data(), fields.data() + fields.size(), processor);
  if (parsed.ec != std::errc{}) return std::nullopt;
  return processor;
}

Process describe_process(pid_t tid, uid_t uid) {
  Process process;
  process.tid = tid;
  process.uid = uid;
  if (tid == 0) return process;
  process.pid = process_of(tid);
  if (process.pid == 0) return process;
  process.comm = comm_of(process.pid);
  process.runtime = runtime_of(process.pid, process.comm);
  return process;
}

struct ProcessCache::Impl {
  Impl(std::size_t capacity, Clock clock_or_none)
      : clock(clock_or_none ? std::move(clock_or_none) : Clock(coarse_now)), threads(capacity) {}

  const Clock clock;
  std::mutex mutex;
  LruMap<pid_t, Remembered> threads;
};

ProcessCache::ProcessCache(std::size_t capacity, Clock clock)
    : impl_(std::make_unique<Impl>(capacity, std::move(clock))) {}

ProcessCache::~ProcessCache() = default;

Process ProcessCache::find(pid_t tid, uid_t uid) {
  const timespec now = impl_->clock();
  if (tid != 0) {
    const std::lock_guard lock(impl_->mutex);
    const Remembered* known = impl_->threads.find(tid);
    if (known != nullptr && is_within_a_second(known->since, now)) {
      Process process = known->process;
      process.uid = uid;  // a thread may act for one user after the other
      return process;
    }
  }
  // Without the lock: /proc may be slow, and other threads' callers are none of its business.
  Process process = describe_process(tid, uid);
  if (process.pid != 0) {
    const std::lock_guard lock(impl_->mutex);
    impl_->threads.touch(tid) = {process, now};
  }
  return process;
}

}  // namespace alignfs
