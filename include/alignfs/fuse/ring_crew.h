#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "alignfs/base/task.h"
#include "alignfs/fuse/caution.h"
#include "alignfs/fuse/crew.h"
#include "alignfs/fuse/job_queue.h"
#include "alignfs/fuse/placement.h"
#include "alignfs/fuse/placement_trial.h"
#include "alignfs/fuse/watch.h"

namespace alignfs {

/// A receiver or a few take all requests, in batches. Those that leave the thread go to the
/// backing by the receiver's own UringEngine; the others it carries out itself where nothing else
/// waits for it, or what does would wait for this one elsewhere, too; else it hands them over to a
/// helper. A request that turns out to be slow costs its receiver the post: the watch puts a helper
/// in its place.
///
///     /dev/fuse --> receiver --+--> its ring --> receiver replies
///                              +--> itself, if it has nothing in its ring
///                              '--> jobs --> helper replies
///
/// As long as one caller alone asks, one request after the other, a single receiver makes his calls
/// by system calls, too, sleeps in read(2) for the next, and shares his processor if that is
/// quicker (placement.h).
///
/// What becomes ready on a receiver, having waited for a lock or a buffer, may wait again: it goes
/// to a helper, too. Requests that are known to wait never occupy the last helper but one.
class RingCrew final : public Crew, private ReadyQueue::Elsewhere {
 public:
  struct Settings {
    /// All that receive or help; at least 1.
    unsigned threads = 1;
    /// At most; there is one until its batches are full, and again when others find nothing to do.
    unsigned receivers = 1;
    /// Calls to the backing that a receiver has running at once.
    unsigned depth = 64;
    /// How long a receiver looks for the next request before it goes to sleep.
    std::chrono::microseconds poll{0};
    /// A receiver may share the processor of a caller who is alone.
    bool share_processor = false;
    /// The backing waits for no network and no other daemon.
    bool local_backing = false;
  };

  RingCrew(Duties duties, const Settings& settings);
  ~RingCrew() override { stop(); }

  void start() override;
  void stop() override;

 private:
  class Receiver;

  /// What the watch sees of a receiver.
  struct Post {
    explicit Post(Watch& watch) : placement(watch) {}

    /// Of the thread that holds it.
    Placement placement;
    /// Whether it should share its caller's processor.
    PlacementTrial trial;
    /// The watch took it from beside its caller, who waited for an answer.
    std::atomic<bool> starved{false};
    /// Odd while the receiver carries out a request itself.
    std::atomic<std::uint64_t> section{0};
    std::atomic<bool> relieved{false};
    /// The watch's own: what it saw last, as it looked after who gives way and after who is stuck,
    /// and for how many looks the post is kept all the same.
    std::uint64_t seen_beside = 0;
    std::uint64_t seen = 0;
    int patience = 0;
  };

  void live() override;
  void hand_over(Job job);
  void resume(std::coroutine_handle<> handle) override;
  /// Asks for one more receiver, if there may be one.
  void call_for_help();
  /// Gives `post` up where others hold one. False where it is the only one.
  bool leave(Post& post);
  /// Makes reads of the descriptor wait or not, for the holder of `post`; they never wait while
  /// there are several receivers. Returns whether they do.
  bool let_reads_block(const Post& post, bool block);
  /// Alone there is nobody to look after a receiver.
  bool shares_processor() const { return settings_.share_processor && count() > 1; }
  /// Ends that receivers share a processor where they have not gone on since the last look: others
  /// may have taken it. Needs no lock, which such a receiver might hold. False if none shares one.
  bool part_who_stands_still();
  /// Relieves who is stuck. False if nothing goes on.
  bool look_at_posts();

  const Settings settings_;
  std::mutex mutex_;
  std::condition_variable changed_;
  JobQueue jobs_;
  /// Threads with nothing to do.
  std::atomic<unsigned> idle_{0};
  unsigned receivers_wanted_ = 0;
  /// Threads that have tried to make a ring, and those that have one: these alone may receive.
  unsigned ready_ = 0;
  unsigned able_ = 0;
  int ring_error_ = 0;
  /// Of those that receive.
  std::vector<Post*> posts_;
  /// Of all threads; complete before the watch begins.
  std::vector<std::unique_ptr<Post>> all_posts_;

  Watch watch_{[this] { return look_at_posts(); }};
  /// After something hung: receivers carry out nothing themselves that may wait.
  Caution careful_;
};

}  // namespace alignfs
