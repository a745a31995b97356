#include "alignfs/io/uring_engine.h"

#include <poll.h>
#include <sys/uio.h>

#include <cerrno>
#include <initializer_list>

namespace alignfs {
namespace {

// Completions are worked off by the thread itself when it asks for them, not by an interruption at
// whatever it does (docs/performance.md has the difference). Linux 6.1; older kernels say EINVAL.
constexpr unsigned kDeferred = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;

/// Entries beside the calls: one that waits for the descriptor.
constexpr unsigned kSpare = 1;

/// Over a network or FUSE the kernel makes a write durable only where the system call waits for it.
bool is_durable(const BackingCall& call) { return (call.flags & (RWF_DSYNC | RWF_SYNC)) != 0; }

bool given_back_undone(int result) {
  return result == -EAGAIN || result == -EINTR || result == -ECANCELED;
}

}  // namespace

int UringEngine::set_up() {
  const unsigned wide = guests_ != 0 ? IORING_SETUP_SQE128 : 0;
  int error = 0;
  for (const unsigned flags : {kDeferred, 0u}) {
    deferred_ = flags != 0;
    error =
        ::io_uring_queue_init(depth_ + kSpare + guests_, &ring_, flags | wide | IORING_SETUP_CLAMP);
    if (error != -EINVAL) break;
  }
  return error;
}

Result<std::unique_ptr<UringEngine>> UringEngine::create(unsigned depth, unsigned guests) {
  std::unique_ptr<UringEngine> engine(new UringEngine(depth, guests));
  if (const int error = engine->set_up(); error != 0) {
    engine->ring_.ring_fd = -1;
    return Error{-error, "set up io_uring"};
  }
  ::io_uring_ring_dontfork(&engine->ring_);
  return engine;
}

UringEngine::~UringEngine() {
  if (ring_.ring_fd >= 0) ::io_uring_queue_exit(&ring_);
}

io_uring_sqe* UringEngine::slot() {
  auto* entry = ::io_uring_get_sqe(&ring_);
  if (entry == nullptr) {
    submit();
    entry = ::io_uring_get_sqe(&ring_);
  }
  return entry;
}

bool UringEngine::start(BackingCall& call) {
  auto* entry = in_flight_ < depth_ && !is_durable(call) ? slot() : nullptr;
  if (entry == nullptr) return blocking_.start(call);
  if (call.kind == BackingCall::Kind::read) {
    ::io_uring_prep_read(entry, call.fd, call.data, unsigned(call.size), call.offset);
  } else {
    ::io_uring_prep_write(entry, call.fd, call.data, unsigned(call.size), call.offset);
  }
  entry->rw_flags = call.flags;
  ::io_uring_sqe_set_data(entry, &call);
  ++in_flight_;
  return false;
}

void UringEngine::submit() {
  // What the kernel does not take now (EAGAIN, EBUSY) stays queued for the next time.
  if (::io_uring_sq_ready(&ring_) != 0) ::io_uring_submit(&ring_);
}

void UringEngine::submit_and_wait() { ::io_uring_submit_and_wait(&ring_, 1); }

unsigned UringEngine::reap(unsigned at_most) {
  // What is known now is ended first, but not what follows it unasked: calls that end as they are
  // handed over would keep the others from ever being asked for.
  if (deferred_ && in_flight_ != 0 && left_ == 0) {
    ::io_uring_submit_and_get_events(&ring_);
    left_ = ::io_uring_cq_ready(&ring_);
  } else {
    submit();
  }
  return end_calls(at_most);
}

unsigned UringEngine::end_calls(unsigned at_most) {
  unsigned ended = 0;
  io_uring_cqe* entry = nullptr;
  while (ended < at_most && ::io_uring_peek_cqe(&ring_, &entry) == 0) {
    const auto data = std::uintptr_t(entry->user_data);
    const int result = entry->res;
    ::io_uring_cqe_seen(&ring_, entry);
    if (left_ != 0) --left_;
    if (data == 0) {
      watching_ = false;
      continue;
    }
    ++ended;
    if ((data & kGuestMark) != 0) {
      reinterpret_cast<Guest*>(data & ~kGuestMark)->completed(result);
      continue;
    }
    --in_flight_;
    auto* call = reinterpret_cast<BackingCall*>(data);
    call->result = result;
    if (given_back_undone(result)) blocking_.start(*call);
    call->ended(*call);
  }
  return ended;
}

void UringEngine::wait(int fd) {
  if (!watching_) {
    if (auto* entry = slot(); entry != nullptr) {
      ::io_uring_prep_poll_add(entry, fd, POLLIN);
      ::io_uring_sqe_set_data(entry, nullptr);
      watching_ = true;
    }
  }
  submit_and_wait();
}

void UringEngine::wait_for_calls(std::chrono::microseconds limit) {
  __kernel_timespec time{};
  time.tv_nsec = std::chrono::nanoseconds(limit).count();
  io_uring_cqe* first = nullptr;
  ::io_uring_submit_and_wait_timeout(&ring_, &first, 1, &time, nullptr);
}

}  // namespace alignfs
