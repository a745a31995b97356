#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "alignfs/base/task.h"
#include "alignfs/fuse/crew.h"
#include "alignfs/fuse/early_interrupts.h"
#include "alignfs/fuse/job_queue.h"
#include "alignfs/fuse/processors.h"
#include "alignfs/fuse/queue_server.h"
#include "alignfs/fuse/ring_entry.h"
#include "alignfs/fuse/watch.h"

namespace alignfs {

/// Serves a mount by FUSE over io_uring: two servers a processor, with a part of that processor's
/// queue each, and a ring of their own for it and for the backing. A caller's request wakes a
/// thread of his own processor, one system call answers it and waits for the next, and what is read
/// or written lies in place for the backing and for the answer alike. The second server works on
/// other processors while one caller has many requests at once, and one that serves a caller who is
/// alone gives way to him.
///
///     queue of a processor --> its server --+--> its ring --> server answers
///                                           +--> itself, if that is short as a rule
///                                           '--> jobs --> helper --> server answers
///
/// Nobody can take a server's place while it waits: what may take long goes to a helper. A request
/// is held by its entry until it is answered, so that those that wait are bounded by the entries.
class QueueCrew final : public Crew,
                        private QueueServer::Colleagues,
                        private ReadyQueue::Elsewhere {
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
    /// Servers give way to a caller who is alone.
    bool share_processor = false;
  };

  QueueCrew(Duties duties, const Settings& settings);
  ~QueueCrew() override;

  /// Throws std::system_error where the servers cannot be made or the kernel does not take their
  /// entries. A mount that has accepted FUSE over io_uring in INIT never answers then.
  void start() override;
  void stop() override;

  /// Settings::entries if all queues are to share `buffers`, of which the crew needs one more
  /// itself; 0 if that is not enough.
  static unsigned entries_for(std::size_t buffers, const kernel::Processors& processors);

 private:
  QueueCrew(Duties duties, unsigned helpers, std::vector<QueueServer::Settings> servers);

  void live() override;
  /// False if nothing has gone on.
  bool look_after_servers();
  void help();
  /// Reads what comes by /dev/fuse all the same.
  void read_device();
  void pass_on_interrupt(std::span<std::byte> message);
  void interrupt(std::uint64_t unique, std::uint64_t name);
  void run(Job job);
  void resume(std::coroutine_handle<> handle) override;

  bool stopping() const override { return Crew::stopping(); }
  void carry_out(RingEntry& entry) override;
  void hand_over(Job job) override;
  bool do_a_job() override;
  Watch& watch() override { return watch_; }
  Caution& caution() override { return caution_; }
  ReadyQueue::Elsewhere& elsewhere() override { return *this; }
  bool wait_for_servers(bool able) override;
  void server_is_ready(int error) override;

  std::mutex mutex_;
  std::condition_variable changed_;
  JobQueue jobs_;
  std::vector<std::unique_ptr<QueueServer>> servers_;
  std::atomic<unsigned> roles_{0};
  /// Who has come to wait_for_servers(), and whether all of them were able.
  unsigned met_ = 0;
  bool able_ = true;
  /// Servers that have told how their start went.
  unsigned ready_ = 0;
  int error_ = 0;
  EarlyInterrupts interrupts_;
  Caution caution_;
  Watch watch_{[this] { return look_after_servers(); }};
};

}  // namespace alignfs
