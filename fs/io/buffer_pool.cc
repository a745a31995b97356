#include "alignfs/io/buffer_pool.h"

#include <sys/mman.h>

#include <new>

#include "alignfs/base/alignment.h"

namespace alignfs {

BufferPool::BufferPool(std::size_t size, std::size_t limit)
    : size_(align_up(size, kPageSize)), limit_(limit) {
  // give_back() runs in destructors and must not allocate.
  free_.reserve(limit);
}

BufferPool::~BufferPool() {
  for (std::byte* data : free_) ::munmap(data, size_);
}

BufferPool::Lease::~Lease() {
  if (pool_ != nullptr) pool_->give_back(data_);
}

std::byte* BufferPool::map_buffer() const {
  void* data = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) throw std::bad_alloc();
  ::madvise(data, size_, MADV_DONTFORK);
  return static_cast<std::byte*>(data);
}

BufferPool::Lease BufferPool::acquire() {
  std::unique_lock lock(mutex_);
  returned_.wait(lock, [&] { return !free_.empty() || mapped_ < limit_; });
  if (free_.empty()) {
    std::byte* data = map_buffer();
    ++mapped_;
    return {this, data};
  }
  std::byte* data = free_.back();
  free_.pop_back();
  return {this, data};
}

void BufferPool::give_back(std::byte* data) {
  {
    const std::lock_guard lock(mutex_);
    free_.push_back(data);
  }
  returned_.notify_one();
}

std::size_t BufferPool::mapped_bytes() const {
  const std::lock_guard lock(mutex_);
  return mapped_ * size_;
}

}  // namespace alignfs
