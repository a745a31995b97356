#include "alignfs/io/buffer_pool.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

#include "alignfs/base/alignment.h"
#include "alignfs/base/task.h"

namespace alignfs {
namespace {

constexpr std::size_t kHugePage = 2 << 20;  // of x86-64, and of arm64 with pages of 4 KiB

}  // namespace

BufferPool::BufferPool(std::size_t size, std::size_t limit)
    : size_(align_up(size, kPageSize)), limit_(limit) {
  // give_back() runs in destructors and must not allocate.
  free_.reserve(limit);
}

BufferPool::~BufferPool() {
  if (begin_ != nullptr) ::munmap(begin_, size_ * limit_);
}

BufferPool::Lease::~Lease() {
  if (pool_ != nullptr) pool_->give_back(data_);
}

void BufferPool::map_all() {
  const auto bytes = size_ * limit_;
  const auto reserved = bytes + kHugePage;
  void* data =
      ::mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) throw std::bad_alloc();
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  const auto skipped = align_up(address, kHugePage) - address;
  begin_ = static_cast<std::byte*>(data) + skipped;
  if (skipped > 0) ::munmap(data, skipped);
  ::munmap(begin_ + bytes, kHugePage - skipped);
  ::madvise(begin_, bytes, MADV_DONTFORK);
  ::madvise(begin_, bytes, MADV_HUGEPAGE);
}

BufferPool::Lease BufferPool::acquire() {
  std::unique_lock lock(mutex_);
  std::byte* data = nullptr;
  ++waiting_;
  returned_.wait(lock, [&] { return (data = take()) != nullptr; });
  --waiting_;
  return {this, data};
}

BufferPool::Lease BufferPool::try_acquire() {
  const std::lock_guard lock(mutex_);
  std::byte* data = take();
  if (data == nullptr) return {};
  return {this, data};
}

std::byte* BufferPool::take() {
  if (free_.empty()) {
    if (mapped_ == limit_) return nullptr;
    if (begin_ == nullptr) map_all();
    return begin_ + size_ * mapped_++;
  }
  std::byte* data = free_.back();
  free_.pop_back();
  return data;
}

bool BufferPool::Request::await_suspend(std::coroutine_handle<> waiter) {
  const std::lock_guard lock(pool_.mutex_);
  if (std::byte* data = pool_.take(); data != nullptr) {
    lease_ = {&pool_, data};
    return false;
  }
  waiter_ = waiter;
  pool_.requests_.push_back(this);
  return true;
}

void BufferPool::give_back(std::byte* data) {
  std::coroutine_handle<> next;
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    if (requests_.empty()) {
      free_.push_back(data);
      wake = waiting_ != 0;
    } else {
      Request* request = requests_.front();
      requests_.pop_front();
      request->lease_ = {this, data};
      next = request->waiter_;
    }
  }
  if (next) {
    ReadyQueue::schedule(next);
  } else if (wake) {
    returned_.notify_one();
  }
}

std::size_t BufferPool::mapped_bytes() const {
  const std::lock_guard lock(mutex_);
  return mapped_ * size_;
}

}  // namespace alignfs
