#pragma once

#include <condition_variable>
#include <coroutine>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace alignfs {

/// A bounded set of equal page-aligned buffers for direct I/O. The one given back last is given out
/// next, so that a quiet mount keeps few pages resident. Buffers are left out of forked children
/// (MADV_DONTFORK): direct I/O into a page that fork() shares corrupts it. They lie side by side in
/// one mapping, in huge pages where the kernel gives them (MADV_HUGEPAGE): 1 MiB is pinned and
/// copied as one piece then, and not as 256. Thread-safe.
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

  /// At most `limit` buffers of `size` bytes (rounded up to pages). Memory is taken when one is
  /// first needed.
  BufferPool(std::size_t size, std::size_t limit);
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  /// A buffer; waits while all are leased. Throws std::bad_alloc if the system has no memory.
  Lease acquire();
  /// A buffer, or an empty lease if all are leased.
  Lease try_acquire();

  /// `co_await pool.lease()`: as acquire(), but a wait suspends the coroutine and blocks no thread.
  /// It goes on by way of ReadyQueue on the thread that gives a buffer back. Coroutines that wait
  /// come before threads.
  class Request {
   public:
    explicit Request(BufferPool& pool) : pool_(pool) {}
    bool await_ready() const { return false; }
    /// False if a buffer was free: the coroutine goes on without being suspended.
    bool await_suspend(std::coroutine_handle<> waiter);
    Lease await_resume() { return std::move(lease_); }

   private:
    friend class BufferPool;
    BufferPool& pool_;
    Lease lease_;
    std::coroutine_handle<> waiter_;
  };
  Request lease() { return Request(*this); }

  std::size_t buffer_size() const { return size_; }
  std::size_t limit() const { return limit_; }
  /// Bytes of the buffers that were needed so far.
  std::size_t mapped_bytes() const;

 private:
  /// Maps the memory of all buffers, from a boundary of huge pages on.
  void map_all();
  /// A buffer, or null if all are leased. Requires mutex_.
  std::byte* take();
  void give_back(std::byte* data);

  const std::size_t size_;
  const std::size_t limit_;
  mutable std::mutex mutex_;
  std::condition_variable returned_;
  std::vector<std::byte*> free_;
  std::deque<Request*> requests_;
  unsigned waiting_ = 0;        ///< threads in acquire()
  std::byte* begin_ = nullptr;  ///< null until a buffer is needed
  std::size_t mapped_ = 0;      ///< buffers that were given out so far
};

}  // namespace alignfs
