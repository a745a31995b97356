#pragma once

#include <sched.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "alignfs/base/task.h"
#include "alignfs/base/unique_fd.h"
#include "alignfs/fuse/caller_pattern.h"
#include "alignfs/fuse/caution.h"
#include "alignfs/fuse/crew.h"
#include "alignfs/fuse/placement.h"
#include "alignfs/fuse/ring_entry.h"
#include "alignfs/io/uring_engine.h"

namespace alignfs {

/// One thread that serves a part of the entries of a processor's queue, on that processor, with a
/// ring for them and for the backing. What may keep it waiting it hands to others, and takes the
/// answer back: it alone may speak to its ring. All but the constructor, name_of() and what
/// RingEntry::Server says of answered() is for that thread.
class QueueServer final : public RingEntry::Server {
 public:
  /// The others who serve the mount. Called by the server's thread.
  class Colleagues {
   public:
    virtual bool stopping() const = 0;
    virtual void carry_out(RingEntry& entry) = 0;
    /// For what may wait.
    virtual void hand_over(Job job) = 0;
    /// Does a job that nobody else has taken. False if there is none.
    virtual bool do_a_job() = 0;
    /// Calls look_after().
    virtual Watch& watch() = 0;
    /// Of all servers, while one of them is in a call that does not end.
    virtual Caution& caution() = 0;
    /// Whose thread goes on with what became ready on a server's.
    virtual ReadyQueue::Elsewhere& elsewhere() = 0;
    /// Until all servers have made what they serve with; `able` says whether this one could. False
    /// if one of them could not: none is to enrol then, or callers would be let in.
    virtual bool wait_for_servers(bool able) = 0;
    /// `error` says why the kernel did not take all of the server's entries; 0 if it did.
    virtual void server_is_ready(int error) = 0;

   protected:
    ~Colleagues() = default;
  };

  struct Settings {
    /// The processor whose queue it is.
    unsigned queue = 0;
    /// The queue of each of its entries.
    std::vector<unsigned> entries;
    /// It goes to other processors while one caller has many requests here at once.
    bool roams = false;
    /// Bytes of a request or an answer at most.
    std::size_t payload = 0;
    /// Calls to the backing that it has running at once.
    unsigned depth = 64;
    /// Metadata of the backing is in memory as a rule: it looks at it itself.
    bool local_backing = false;
    /// It gives way on its processor to a caller who is alone (placement.h).
    bool shares_processor = false;
  };

  /// Both `crew` and `duties` must outlive it.
  QueueServer(Colleagues& crew, const Duties& duties, Settings settings);

  /// Serves until the crew stops.
  void run();

  /// Ends that it gives way if it has served nothing since the last look: others may have taken the
  /// processor. Where it is still in the same call after some looks, the others are to do nothing
  /// of the kind themselves: nobody can take its place, but they need not share its fate. False if
  /// nothing has gone on. For the watch, once the server is ready; needs no lock, which such a
  /// server might hold.
  bool look_after();

  /// RingEntry::known_name() of the entry that has the request, or 0. Thread-safe.
  std::uint64_t name_of(std::uint64_t unique) const;

 private:
  using Clock = std::chrono::steady_clock;

  /// The eventfd by which other threads say that they have answered.
  class Wake final : public UringEngine::Guest {
   public:
    explicit Wake(QueueServer& server) : server_(server) {}
    void arm();

   private:
    void completed(int result) override;
    QueueServer& server_;
    std::uint64_t count_ = 0;
  };

  void enrol();
  void serve();
  void finish();
  void wait();
  void work_off();
  void roam(bool away);
  void share_processor();
  void dispatch(RingEntry& entry);
  bool may_call_here() const;
  bool may_run_here(const Pace& pace);
  bool is_careful() const { return careful_.holds() || crew_.caution().holds(); }
  void run_here(RingEntry& entry);
  void call_here(RingEntry& entry);
  void be_careful_after(Clock::duration time);
  bool looks_stuck();
  Clock::duration occupied_by(RingEntry& entry);
  void commit(RingEntry& entry);
  void commit_what_others_answered();

  void arrived(RingEntry& entry) override { arrived_.push_back(&entry); }
  void answered(RingEntry& entry) override;
  void lost(RingEntry& entry, int error) override;

  Colleagues& crew_;
  const Duties& duties_;
  const Settings settings_;
  /// Processors that it was started with, which may be less than the machine's.
  const cpu_set_t affinity_;
  std::unique_ptr<UringEngine> engine_;
  std::vector<std::unique_ptr<RingEntry>> entries_;
  std::vector<RingEntry*> arrived_;
  UniqueFd wake_;
  Wake waker_{*this};
  /// Requests that were taken and not committed.
  unsigned in_hand_ = 0;
  CallerPattern callers_;
  bool away_ = false;
  /// Of its thread.
  std::unique_ptr<Placement> placement_;
  bool gives_way_ = false;
  /// After giving way has cost its callers time: it does not.
  Caution apart_;
  std::atomic<std::uint64_t> served_{0};
  /// When the watch ended that it gives way, in ticks of Clock; and whether it was at work then.
  std::atomic<Clock::rep> parted_{0};
  std::atomic<bool> parted_at_work_{false};
  /// Odd while it carries something out itself.
  std::atomic<std::uint64_t> section_{0};
  /// The watch's own: what it saw last, and how often in a row it saw the same call.
  std::uint64_t seen_ = 0;
  std::uint64_t seen_section_ = 0;
  int still_ = 0;
  bool serves_ = false;
  /// Why the kernel has given entries up; 0 if it has not.
  int lost_by_ = 0;
  /// Mean of the time that requests carried out here take.
  Clock::duration usual_{0};
  /// After something it did itself took long: others do the like.
  Caution careful_;

  std::mutex mutex_;
  std::vector<RingEntry*> answered_elsewhere_;
  std::atomic<bool> sleeps_{false};
  static inline thread_local QueueServer* of_this_thread_ = nullptr;
};

}  // namespace alignfs
