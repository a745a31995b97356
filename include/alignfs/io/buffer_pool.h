#pragma once

#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace alignfs {

/// A bounded set of equal page-aligned buffers for direct I/O. The one given back last is given out
/// next, so that a quiet mount keeps few pages resident. Buffers are left out of forked children
/// (MADV_DONTFORK): direct I/O into a page that fork() shares corrupts it. Thread-safe.
class BufferPool {
 public:
  /// Exclusive use of one buffer until destroyed. Move-only; must not outlive the pool.
  class Lease {
   public:
    Lease() = default;
    Lease(Lease&& other) noexcept
        : pool_(std::exchange(other.pool_, nullptr)), data_(other.data_) {}
    Lease& operator=(Lease&& other) noexcept {
      std::swap(pool_, other.pool_);
      std::swap(data_, other.data_);
      return *this;
    }
    Lease(const Lease&) = delete;
    ~Lease();

    /// The start of the buffer, page-aligned. Contents are whatever the last user left.
    std::byte* data() const { return data_; }
    explicit operator bool() const { return pool_ != nullptr; }

   private:
    friend class BufferPool;
    Lease(BufferPool* pool, std::byte* data) : pool_(pool), data_(data) {}
    BufferPool* pool_ = nullptr;
    std::byte* data_ = nullptr;
  };

  /// At most `limit` buffers of `size` bytes (rounded up to pages), mapped when first needed.
  BufferPool(std::size_t size, std::size_t limit);
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  /// A buffer; waits while all are leased. Throws std::bad_alloc if the system has no memory.
  Lease acquire();

  std::size_t buffer_size() const { return size_; }
  /// Bytes mapped so far.
  std::size_t mapped_bytes() const;

 private:
  std::byte* map_buffer() const;
  void give_back(std::byte* data);

  const std::size_t size_;
  const std::size_t limit_;
  mutable std::mutex mutex_;
  std::condition_variable returned_;
  std::vector<std::byte*> free_;
  std::size_t mapped_ = 0;
};

}  // namespace alignfs
