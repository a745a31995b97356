#pragma once

#include <liburing.h>

#include <chrono>
#include <memory>

#include "alignfs/base/result.h"
#include "alignfs/io/engine.h"

namespace alignfs {

/// Makes calls by an io_uring of the thread's own: they run side by side, and one system call hands
/// over many. Made, used and destroyed on one thread.
class UringEngine : public Engine {
 public:
  /// A ring for `depth` calls at once. EPERM or ENOSYS where io_uring is not allowed: by seccomp,
  /// by kernel.io_uring_disabled, or because the kernel has none.
  static Result<std::unique_ptr<UringEngine>> create(unsigned depth);
  /// No call may be running.
  ~UringEngine() override;
  UringEngine(const UringEngine&) = delete;
  UringEngine& operator=(const UringEngine&) = delete;

  /// Queues `call` for the next submit(). Durable writes, calls beyond the depth, and those that
  /// the ring gives back undone (EAGAIN, EINTR, ECANCELED) are made as BlockingEngine makes them.
  bool start(BackingCall& call) override;

  /// Calls that were started and have not ended.
  unsigned in_flight() const { return in_flight_; }

  /// Hands over what was queued.
  void submit();
  /// Ends the calls that are done, handing over what was queued. Returns how many.
  unsigned reap();
  /// Waits until a call is done, `fd` can be read, or a signal comes, handing over what was queued.
  /// The calls are left to reap(). `fd` must always be the same.
  void wait(int fd);
  /// The same without a descriptor, and not for longer than `limit`.
  void wait_for_calls(std::chrono::microseconds limit);

 private:
  explicit UringEngine(unsigned depth) : depth_(depth) {}
  io_uring_sqe* slot();

  io_uring ring_{};
  BlockingEngine blocking_;
  const unsigned depth_;
  bool deferred_ = false;
  bool watching_ = false;
  unsigned in_flight_ = 0;
};

}  // namespace alignfs
