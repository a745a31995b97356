#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "alignfs/align/call.h"
#include "alignfs/file/observer.h"
#include "alignfs/report/event.h"

namespace alignfs {

/// Looks at the call that thread `fragment.requester.tid` is making while it waits for its answer.
///
/// Reads /proc/TID/syscall, for vectors and iocbs the caller's memory (process_vm_readv), and
/// /proc/TID/fdinfo for calls that use the file position or are not whole pages throughout: there
/// it makes sure that the call is on this file, so FileId::inode must be the number the mount
/// shows. Needs the right to trace the caller: root, or the same uid without a Yama restriction. A
/// call that does not contain the fragment is not the one behind it and counts as unseen. The
/// fragment's own offset and length fill a view that is unseen. A caller that has not gone to sleep
/// yet is waited for, 5 ms at most. Thread-safe, never blocks on the mount itself. Each thread that
/// looks keeps up to four files of /proc open, those of callers that it has looked at before.
CallView observe_call(const Fragment& fragment);

/// What /proc tells of the process of thread `tid`. Never fails: unknown fields stay empty.
Process describe_process(pid_t tid, uid_t uid);

/// The processor that thread `tid` runs on, or ran on last; nullopt if /proc does not tell.
/// Thread-safe, allocates nothing.
std::optional<unsigned> processor_of(pid_t tid);

/// describe_process() remembered for a second a thread, for at most `capacity` threads.
class ProcessCache {
 public:
  using Clock = std::function<timespec()>;

  /// `clock` gives CLOCK_MONOTONIC_COARSE and is replaced by tests.
  explicit ProcessCache(std::size_t capacity = 1024, Clock clock = {});
  ~ProcessCache();
  ProcessCache(const ProcessCache&) = delete;
  ProcessCache& operator=(const ProcessCache&) = delete;

  /// Thread-safe.
  Process find(pid_t tid, uid_t uid);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace alignfs
