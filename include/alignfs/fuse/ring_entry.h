#pragma once

#include <sys/uio.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "alignfs/io/buffer_pool.h"
#include "alignfs/io/uring_engine.h"

namespace alignfs {

/// FUSE over io_uring (Linux 6.14, fs/fuse/dev_uring.c): instead of by read(2) and write(2) of
/// /dev/fuse, requests come to places that the daemon has registered, and their answers are fetched
/// there. The kernel keeps a queue of such places for each processor, and a caller's request goes
/// to the queue of the processor he runs on. FORGET and INTERRUPT still come by read(2).
///
/// One such place, for one request at a time. Memory is a buffer of at least
/// RingEntry::buffer_size() bytes:
///
///     | headers   ...   in header, operation's header | payload ...
///     buffer                                          buffer + 4096
///
/// The payload begins on a page, and the headers are copied before it, so that the message lies
/// there as read(2) would have given it. Used by the thread that serves it, but for what is said to
/// be thread-safe.
class RingEntry final : public UringEngine::Guest {
 public:
  /// Who serves the entry, on the thread of its engine; answered() alone is called by any.
  class Server {
   public:
    /// A request has come: message() is it.
    virtual void arrived(RingEntry& entry) = 0;
    /// The answer is complete; commit() must follow.
    virtual void answered(RingEntry& entry) = 0;
    /// The kernel has given the entry up: an errno. ENOTCONN where the mount is gone.
    virtual void lost(RingEntry& entry, int error) = 0;

   protected:
    ~Server() = default;
  };

  /// Bytes of a buffer for payloads of `payload` bytes.
  static std::size_t buffer_size(std::size_t payload);

  /// `payload` is what the kernel expects of every entry: the largest request or answer.
  RingEntry(Server& server, unsigned queue, BufferPool::Lease buffer, std::size_t payload);
  RingEntry(const RingEntry&) = delete;
  RingEntry& operator=(const RingEntry&) = delete;

  /// Offers the entry to the kernel. What is wrong with it is told by Server::lost().
  void enrol(UringEngine& engine, int fuse_fd);
  /// The whole message, empty where the kernel sent none. Its `unique` stands for the entry.
  std::span<std::byte> message() const { return message_; }
  /// Where the data of the answer costs no copy.
  std::span<std::byte> room() const { return {payload(), payload_}; }
  /// Sends the answer, and waits for the next request.
  void commit(UringEngine& engine, int fuse_fd);

  /// If the answer that begins with `parts` is to the request in an entry, puts it there.
  /// Thread-safe.
  static bool take_answer(std::span<const iovec> parts);

  /// What the kernel calls the request that is being served; 0 while there is none.
  std::uint64_t unique() const { return unique_; }
  /// Counts the requests that came.
  std::uint64_t count() const { return count_; }
  /// libfuse has met request number `count`. Thread-safe.
  void now_known(std::uint64_t count);
  /// What libfuse calls the request that the kernel calls `unique`; 0 where it has not met it yet
  /// and where it is not the one that is being served. Thread-safe.
  std::uint64_t known_name(std::uint64_t unique) const;

 private:
  struct Headers;
  Headers& headers() const { return *reinterpret_cast<Headers*>(buffer_.data()); }
  std::byte* payload() const;
  void completed(int result) override;
  bool assemble();
  void put_answer(std::span<const iovec> parts);
  void command(UringEngine& engine, int fuse_fd, std::uint32_t operation);

  Server& server_;
  const unsigned queue_;
  const BufferPool::Lease buffer_;
  const std::size_t payload_;
  iovec memory_[2];
  std::span<std::byte> message_;
  std::atomic<std::uint64_t> unique_{0};
  /// Ours: the entry's address with a mark, and a count, so that no two requests have the same.
  std::atomic<std::uint64_t> name_{0};
  std::atomic<std::uint64_t> count_{0};
  std::atomic<std::uint64_t> known_{0};
};

}  // namespace alignfs
