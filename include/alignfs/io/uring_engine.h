#pragma once

#include <liburing.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>

#include "alignfs/base/result.h"
#include "alignfs/io/engine.h"

namespace alignfs {

/// Makes calls by an io_uring of the thread's own: they run side by side, and one system call hands
/// over many. Made, used and destroyed on one thread.
class UringEngine : public Engine {
 public:
  /// Something other than a call that is done in the same ring. Must outlive what it was queued
  /// for.
  class Guest {
   public:
    /// Called by reap() and end_calls(): the result of the completion, as in struct io_uring_cqe.
    virtual void completed(int result) = 0;

   protected:
    ~Guest() = default;
  };

  static constexpr unsigned kAll = std::numeric_limits<unsigned>::max();

  /// A ring for `depth` calls at once, and with `guests` above 0 as many entries of their own for
  /// guests, of 128 bytes, which commands to drivers need. EPERM or ENOSYS where io_uring is not
  /// allowed: by seccomp, by kernel.io_uring_disabled, or because the kernel has none; EINVAL where
  /// it has no such entries (before Linux 5.19).
  static Result<std::unique_ptr<UringEngine>> create(unsigned depth, unsigned guests = 0);
  /// No call may be running.
  ~UringEngine() override;
  UringEngine(const UringEngine&) = delete;
  UringEngine& operator=(const UringEngine&) = delete;

  /// Queues `call` for the next submit(). Durable writes, calls beyond the depth, and those that
  /// the ring gives back undone (EAGAIN, EINTR, ECANCELED) are made as BlockingEngine makes them.
  bool start(BackingCall& call) override;

  /// Entries that wait for the next submit().
  unsigned queued() const { return ::io_uring_sq_ready(&ring_); }
  /// Something is known to be done: the next wait returns at once.
  bool has_more() const { return ::io_uring_cq_ready(&ring_) != 0; }
  /// Calls that were started and have not ended.
  unsigned in_flight() const { return in_flight_; }

  /// Queues what `prepare` makes of an empty entry, on behalf of `guest`.
  template <typename Prepare>
  void queue(Guest& guest, Prepare prepare) {
    auto* entry = slot();
    prepare(entry);
    entry->user_data = reinterpret_cast<std::uintptr_t>(&guest) | kGuestMark;
  }

  /// Hands over what was queued.
  void submit();
  /// The same, and waits until something is done or a signal comes. What is done is left to
  /// end_calls().
  void submit_and_wait();
  /// Ends the calls and informs the guests that are known to be done, `at_most` of them, without a
  /// system call. Returns how many.
  unsigned end_calls(unsigned at_most = kAll);
  /// Hands over what was queued and ends calls that are done, `at_most` of them. Returns how many.
  /// Repeated, it ends all: none is kept back by others that are done sooner.
  unsigned reap(unsigned at_most = kAll);
  /// Waits until a call is done, `fd` can be read, or a signal comes, handing over what was queued.
  /// The calls are left to reap(). `fd` must always be the same.
  void wait(int fd);
  /// The same without a descriptor, and not for longer than `limit`.
  void wait_for_calls(std::chrono::microseconds limit);

 private:
  /// Tells a guest from a call in the data of an entry: neither lies at an odd address.
  static constexpr std::uintptr_t kGuestMark = 1;

  UringEngine(unsigned depth, unsigned guests) : depth_(depth), guests_(guests) {}
  int set_up();
  /// An empty entry; never null where guests were announced, or while there are less than `depth_`
  /// calls.
  io_uring_sqe* slot();

  io_uring ring_{};
  BlockingEngine blocking_;
  const unsigned depth_;
  const unsigned guests_;
  bool deferred_ = false;
  bool watching_ = false;
  /// Ended calls and guests that were there when reap() last asked the kernel, and still are.
  unsigned left_ = 0;
  unsigned in_flight_ = 0;
};

}  // namespace alignfs
