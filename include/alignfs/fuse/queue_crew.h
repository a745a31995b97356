#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "alignfs/base/task.h"
#include "alignfs/fuse/crew.h"
#include "alignfs/fuse/job_queue.h"
#include "alignfs/fuse/ring_entry.h"

namespace alignfs {

/// Serves a mount by FUSE over io_uring: two servers a processor, with a part of that processor's
/// queue each, and a ring of their own for it and for the backing. A caller's request wakes a
/// thread of his own processor, one system call answers it and waits for the next, and what is read
/// or written lies in place for the backing and for the answer alike. The second server works on
/// other processors while one caller has many requests at once.
///
///     queue of a processor --> its server --+--> its ring --> server answers
///                                           +--> itself, if that is short as a rule
///                                           '--> jobs --> helper --> server answers
///
/// Nobody can take a server's place while it waits: what may take long goes to a helper. A request
/// is held by its entry until it is answered, so that those that wait are bounded by the entries.
class QueueCrew final : public Crew, private ReadyQueue::Elsewhere {
 public:
  struct Settings {
    /// Threads for what may wait; at least 1.
    unsigned helpers = 1;
    /// Whose queues are served.
    kernel::Processors processors;
    /// Requests in each queue at once. Queues of processors that are not there get one.
    unsigned entries = 1;
    /// Bytes of a request or an answer at most.
    std::size_t payload = 0;
    /// Calls to the backing that a server has running at once.
    unsigned depth = 64;
    /// Metadata of the backing is in memory as a rule: servers look at it themselves.
    bool local_backing = false;
  };

  QueueCrew(Duties duties, const Settings& settings);
  ~QueueCrew() override;

  /// Throws std::system_error where the kernel takes too few entries. It goes on sending requests
  /// by /dev/fuse then.
  void start() override;
  void stop() override;

  /// Settings::entries if all queues are to share `buffers`, of which the crew needs one more
  /// itself; 0 if that is not enough.
  static unsigned entries_for(std::size_t buffers, const kernel::Processors& processors);

 private:
  class Server;

  void live() override;
  void help();
  /// Reads what comes by /dev/fuse all the same.
  void read_device();
  void pass_on_interrupt(std::span<std::byte> message);
  /// Passes on what came for the request in `entry` before libfuse knew it.
  void catch_up_with_interrupts(const RingEntry& entry);
  void interrupt(std::uint64_t unique, std::uint64_t name);
  void carry_out(RingEntry& entry);
  void run(Job job);
  void hand_over(Job job);
  void resume(std::coroutine_handle<> handle) override;
  /// Does a job that no helper has taken. False if there is none.
  bool do_a_job();
  /// Until all servers have made what they serve with.
  void wait_for_servers();
  /// `error` says why the kernel took not all of its entries; 0 if it did.
  void server_is_ready(int error);

  const Settings settings_;
  std::mutex mutex_;
  std::condition_variable changed_;
  JobQueue jobs_;
  std::vector<std::unique_ptr<Server>> servers_;
  std::atomic<unsigned> roles_{0};
  /// Servers that have come so far.
  unsigned made_ = 0, ready_ = 0;
  int error_ = 0;

  /// Requests to be interrupted that libfuse does not know yet, and such as are over; the newest
  /// last.
  std::mutex interrupts_mutex_;
  std::deque<std::uint64_t> early_interrupts_;
  std::atomic<bool> early_{false};
};

}  // namespace alignfs
