#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <span>
#include <thread>
#include <vector>

#include "alignfs/fuse/job_queue.h"
#include "alignfs/fuse/request_pace.h"
#include "alignfs/io/buffer_pool.h"

namespace alignfs {

/// Where a crew's requests come from, and what becomes of them. The functions are called by any of
/// its threads.
struct Duties {
  /// /dev/fuse, or what else gives one message a read(2).
  int fd = -1;
  /// Bytes of a message at most.
  std::size_t max_message = 0;
  /// Hold a page more than a message.
  BufferPool& buffers;
  /// Whether a request may keep the thread waiting that carries it out.
  std::function<Pace(std::span<const std::byte>)> pace;
  /// Carries out a request. Its buffer may be taken over (worker.h).
  std::function<void(std::span<std::byte>)> process;
  /// The mount is gone.
  std::function<void()> gone;
};

/// The threads that serve a mount. Started, stopped and destroyed by one thread.
class Crew {
 public:
  virtual ~Crew() = default;
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  /// Throws std::system_error if the threads cannot be had; those that were started stay.
  virtual void start();
  /// Finishes the requests in hand and ends the threads. May be called more than once; destructors
  /// of the implementations call it.
  virtual void stop();

 protected:
  Crew(Duties duties, unsigned threads) : duties_(std::move(duties)), count_(threads) {}

  /// The life of one thread; over soon after stopping() has become true and it was interrupted.
  virtual void live() = 0;
  void announce_stop() { stopping_ = true; }
  bool stopping() const { return stopping_; }
  unsigned count() const { return count_; }

  /// Carries out a request, and then what became ready by it. `room` is its answer_room().
  void carry_out(std::span<std::byte> message, std::span<std::byte> room = {}) const;
  /// What lies behind a request without a payload in this thread's request buffer: room for the
  /// answer, if that is sent before carry_out() returns.
  std::span<std::byte> room_behind_request() const;
  /// Does what a helper has to, but for requests in entries.
  void run(Job job) const;

  /// The next message, of the size that read(2) returned, in this thread's request buffer. Empty
  /// where there is none: errno tells why, ENODEV that the mount is gone, which was reported then.
  std::span<std::byte> receive();

  const Duties duties_;

 private:
  const unsigned count_;
  std::atomic<bool> stopping_{false};
  /// Threads that have not ended.
  std::atomic<unsigned> running_{0};
  std::vector<std::thread> threads_;
};

/// Every thread receives a request, carries it out, waiting where that has to wait, and receives
/// the next.
class BlockingCrew final : public Crew {
 public:
  BlockingCrew(Duties duties, unsigned threads) : Crew(std::move(duties), threads) {}
  ~BlockingCrew() override { stop(); }

 private:
  void live() override;
};

}  // namespace alignfs
