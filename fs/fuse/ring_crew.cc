#include "alignfs/fuse/ring_crew.h"

#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <system_error>

#include "alignfs/base/task.h"
#include "alignfs/fuse/idle_polling.h"
#include "alignfs/fuse/portions.h"
#include "alignfs/fuse/worker.h"
#include "alignfs/io/uring_engine.h"
#include "alignfs/report/caller.h"

namespace alignfs {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;
using std::chrono::milliseconds;

/// Requests taken before the ring is looked at again.
constexpr int kBatch = 32;

/// What a receiver may do itself while others wait: about what handing it over would cost.
constexpr Clock::duration kShort = microseconds(25);
/// The same for what would take turns elsewhere as well. With more it pays to receive the next
/// request meanwhile, and what is asked of other files would wait for too long.
constexpr Clock::duration kShortTurn = microseconds(100);

/// What a single caller's call to the backing may take for a receiver to wait for it itself: with
/// more, what waking somebody costs is no longer worth saving.
constexpr Clock::duration kShortCall = microseconds(500);

/// How long a receiver that can only wait for its ring does so at once.
constexpr milliseconds kStep(2);
/// Times in a row that one of several receivers is woken for one request at most before it leaves.
constexpr int kFutile = 16;
/// Requests of a single caller after which it is looked whether another one waits.
constexpr int kLooksAgain = 8;
/// Looks after which one that was freed from where others kept it may lose its post.
constexpr int kPatience = 4;
/// Requests that a receiver carries out beside its caller until it looks where he is now.
constexpr int kFollows = 32;

void set_blocking(int fd, bool block) {
  const int flags = ::fcntl(fd, F_GETFL);
  ::fcntl(fd, F_SETFL, block ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
}

}  // namespace

/// The work of one thread while it receives.
class RingCrew::Receiver {
 public:
  Receiver(RingCrew& crew, Post& post, UringEngine& engine)
      : crew_(crew), post_(post), engine_(engine), polling_(crew.settings_.poll) {}

  /// Until it is relieved or the mount is gone or to be stopped. Nothing is left in the ring.
  void run();

 private:
  class EngineWhileAlone;

  bool end_calls();
  int take_requests();
  void dispatch(std::span<std::byte> message);
  bool share_processor(pid_t caller, Clock::time_point now);
  void part();
  void send(std::span<std::byte> message);
  void pass_on(bool alone);
  bool may_call_here();
  void call_here(std::span<std::byte> message, Clock::time_point now);
  bool may_run_here(const Pace& pace, bool same_caller) const;
  void run_here(std::span<std::byte> message, Clock::time_point now);
  Clock::duration occupied_by(std::span<std::byte> message, Clock::time_point now,
                              std::span<std::byte> room = {});
  void hand_over(std::span<std::byte> message, const Pace& pace);
  void wait();

  RingCrew& crew_;
  Post& post_;
  UringEngine& engine_;
  bool gone_ = false;

  /// Requests it has carried out itself since it last found none waiting, and for whom the last.
  unsigned in_a_row_ = 0;
  pid_t last_caller_ = 0;
  /// Pace::takes_turns_at of the last request that it carried out or handed over.
  std::uint64_t turns_at_ = 0;
  /// Mean of the time those take.
  Clock::duration usual_{0};

  /// The last request was a single caller's, and its call was made by the receiver.
  bool called_here_ = false;
  /// Such calls since it was last looked whether another request waits.
  int unlooked_ = 0;
  /// Reads of the descriptor wait until there is a request.
  bool reads_block_ = false;
  /// Times in a row that it was woken for one request at most.
  int futile_ = 0;

  IdlePolling polling_;
  Portions portions_;
  /// What it made of the last answer of the post's trial.
  bool beside_ = false;
  /// Requests since it last looked where he is.
  int unfollowed_ = 0;
};

void RingCrew::Receiver::run() {
  const Engine::Use use(engine_);
  std::optional<ReadyQueue::Diversion> diversion;
  if (crew_.count() > 1) diversion.emplace(static_cast<ReadyQueue::Elsewhere&>(crew_));
  while (!gone_ && !post_.relieved && !crew_.stopping()) {
    const int taken = take_requests();
    if (taken > 1) futile_ = 0;
    if (end_calls() || taken != 0) {
      polling_.busy();
    } else if (futile_ >= kFutile && crew_.leave(post_)) {
      break;
    } else if (!polling_.looks_again(Clock::now())) {
      wait();
    }
  }
  post_.placement.leave();
  post_.trial.interrupted();
  while (engine_.in_flight() != 0) {
    engine_.wait_for_calls(kStep);
    end_calls();
  }
}

/// True if there were any.
bool RingCrew::Receiver::end_calls() {
  const ReadyQueue::Scope scope;
  if (engine_.reap(portions_.calls_to_end()) == 0) return false;
  polling_.left_to_others();
  return true;
}

/// Returns how many, or 2 if there were more.
int RingCrew::Receiver::take_requests() {
  int taken = 0;
  int in_batch = 0;
  while (in_batch < kBatch && !post_.relieved) {
    auto& buffer = request_buffer();
    if (!buffer) buffer = crew_.duties_.buffers.try_acquire();
    if (!buffer) {
      // What is in the ring gives some back, if nothing else does.
      if (engine_.in_flight() != 0) break;
      buffer = crew_.duties_.buffers.acquire();
    }
    const auto message = crew_.receive();
    if (message.empty()) {
      if ((errno == EINTR && !reads_block_) || errno == ENOENT) {
        ++in_batch;
        continue;
      }
      gone_ = errno == ENODEV;
      in_a_row_ = 0;
      // The single caller has not asked again yet: the next read waits for him.
      if (errno == EAGAIN && called_here_ && engine_.in_flight() == 0) {
        reads_block_ = crew_.let_reads_block(post_, true);
        if (reads_block_) continue;
      }
      called_here_ = false;
      break;
    }
    // Whether it was none, one or several.
    if (taken < 2) ++taken;
    ++in_batch;
    dispatch(message);
    if (!reads_block_) continue;
    if (!called_here_) break;
    // There is nothing in the ring to look at meanwhile.
    if (!crew_.stopping()) in_batch = 0;
  }
  if (in_batch == kBatch && !called_here_) crew_.call_for_help();
  if (reads_block_) reads_block_ = crew_.let_reads_block(post_, false);
  return taken;
}

void RingCrew::Receiver::dispatch(std::span<std::byte> message) {
  const Pace pace = crew_.duties_.pace(message);
  auto now = Clock::now();
  const bool same_caller = pace.caller == last_caller_;
  if (crew_.shares_processor() && pace.awaited && share_processor(pace.caller, now)) {
    now = Clock::now();
  }
  called_here_ = pace.kind == Pace::Kind::leaves_thread && same_caller && may_call_here();
  if (called_here_) return call_here(message, now);
  if (pace.awaited) last_caller_ = pace.caller;
  if (pace.kind == Pace::Kind::leaves_thread) part();
  if (pace.kind == Pace::Kind::at_once || pace.kind == Pace::Kind::leaves_thread) {
    return send(message);
  }
  if (may_run_here(pace, same_caller)) {
    run_here(message, now);
  } else {
    hand_over(message, pace);
  }
  turns_at_ = pace.takes_turns_at;
}

/// Goes to the processor of a caller who is alone, follows him there, and comes back. True if that
/// took time.
bool RingCrew::Receiver::share_processor(pid_t caller, Clock::time_point now) {
  auto& placement = post_.placement;
  auto& trial = post_.trial;
  if (beside_ && !placement.joined()) {
    beside_ = false;
    if (post_.starved) {
      trial.failed();
    } else {
      trial.interrupted();
    }
  }
  const bool alone = caller == last_caller_ && engine_.in_flight() == 0;
  if (!alone) trial.interrupted();
  const bool stays = !alone || trial.next(now) == PlacementTrial::Place::anywhere;
  if (stays) {
    if (!beside_) return false;
    placement.leave();
    beside_ = false;
    return true;
  }
  if (beside_ && ++unfollowed_ != kFollows) return false;
  unfollowed_ = 0;
  const auto processor = processor_of(caller);
  post_.starved = false;
  beside_ = processor && placement.join(*processor);
  if (!beside_) {
    placement.leave();
    trial.failed();
  }
  return true;
}

/// Before calls to the backing are left to the ring: workers that the kernel makes for them must
/// not give way for ever.
void RingCrew::Receiver::part() { post_.placement.leave(); }

void RingCrew::Receiver::send(std::span<std::byte> message) {
  const unsigned before = engine_.in_flight();
  crew_.carry_out(message);
  if (engine_.in_flight() != 0) polling_.sent_to_backing(before == 0);
  if (engine_.in_flight() > before) pass_on(before == 0);
}

/// Hands over what was started, now or together with what follows it.
void RingCrew::Receiver::pass_on(bool alone) {
  portions_.started();
  // One that is alone is not kept waiting for company.
  if (alone || engine_.queued() >= portions_.calls_to_start()) engine_.submit();
}

/// Two sleeps in system calls cost a single caller less than two in the ring
/// (docs/performance.md).
bool RingCrew::Receiver::may_call_here() {
  // Where the call hangs, one helper takes the post over, and one is there for what waits.
  if (!polling_.single_caller() || engine_.in_flight() != 0 || crew_.idle_ < 2 ||
      crew_.careful_.holds()) {
    return false;
  }
  // A look costs a system call, and what it would find is found a few requests later as well.
  if (++unlooked_ < kLooksAgain) return true;
  unlooked_ = 0;
  pollfd another{crew_.duties_.fd, POLLIN, 0};
  if (::poll(&another, 1, 0) == 0) return true;
  polling_.in_company();
  return false;
}

void RingCrew::Receiver::call_here(std::span<std::byte> message, Clock::time_point now) {
  BlockingEngine blocking;
  const Engine::Use use(blocking);
  if (occupied_by(message, now, crew_.room_behind_request()) > kShortCall) polling_.in_company();
  polling_.left_to_others();
}

bool RingCrew::Receiver::may_run_here(const Pace& pace, bool same_caller) const {
  if (crew_.count() == 1) return true;
  // Nobody else could end what is in this thread's ring, or take its place.
  if (engine_.in_flight() != 0 || pace.kind == Pace::Kind::waits || crew_.idle_ == 0) return false;
  if (crew_.careful_.holds()) return false;
  // Requests of several callers queue up. One caller's would come one after the other anyway.
  const bool others_wait = in_a_row_ != 0 && !same_caller;
  const bool in_turn =
      crew_.settings_.local_backing && pace.takes_turns_at != 0 && pace.takes_turns_at == turns_at_;
  return !others_wait || usual_ < (in_turn ? kShortTurn : kShort);
}

/// Makes calls and waits for them while nobody else waits; else leaves them to the ring.
class RingCrew::Receiver::EngineWhileAlone : public BlockingEngine {
 public:
  explicit EngineWhileAlone(Receiver& receiver) : receiver_(receiver) {}
  bool start(BackingCall& call) override {
    if (receiver_.may_call_here()) return BlockingEngine::start(call);
    receiver_.part();
    const bool alone = receiver_.engine_.in_flight() == 0;
    if (receiver_.engine_.start(call)) return true;
    receiver_.pass_on(alone);
    return false;
  }

 private:
  Receiver& receiver_;
};

void RingCrew::Receiver::run_here(std::span<std::byte> message, Clock::time_point now) {
  EngineWhileAlone engine(*this);
  const Engine::Use use(engine);
  usual_ += (occupied_by(message, now) - usual_) / 8;
  ++in_a_row_;
  polling_.carried_out();
}

/// Carries it out, from `now` on and before the eyes of the watch. Returns how long that took.
Clock::duration RingCrew::Receiver::occupied_by(std::span<std::byte> message, Clock::time_point now,
                                                std::span<std::byte> room) {
  auto section = ++post_.section;
  crew_.watch_.wake();
  crew_.carry_out(message, room);
  // Either this or the watch ends the section, so that nobody who is relieved goes on receiving.
  if (!post_.section.compare_exchange_strong(section, section + 1)) post_.relieved = true;
  return Clock::now() - now;
}

void RingCrew::Receiver::hand_over(std::span<std::byte> message, const Pace& pace) {
  Job job;
  // Without a payload it is small, and copied rather than let occupy a large buffer while it waits.
  if (pace.keeps_buffer) {
    job.buffer = take_request_buffer();
    job.message = message;
  } else {
    job.copy.assign(message.begin(), message.end());
    job.message = job.copy;
  }
  job.waits = pace.kind == Pace::Kind::waits;
  crew_.hand_over(std::move(job));
  polling_.left_to_others();
}

void RingCrew::Receiver::wait() {
  const auto begun = Clock::now();
  if (request_buffer()) {
    engine_.wait(crew_.duties_.fd);
    ++futile_;
  } else {
    // Helpers give buffers back, too, and cannot tell.
    engine_.wait_for_calls(kStep);
  }
  portions_.slept();
  polling_.slept(Clock::now() - begun);
}

RingCrew::RingCrew(Duties duties, const Settings& settings)
    : Crew(std::move(duties), settings.threads),
      settings_(settings),
      // One receiver counts as a helper who is never there.
      jobs_(count() - std::min(settings.receivers, count()) + 1) {}

void RingCrew::start() {
  receivers_wanted_ = 1;
  Crew::start();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return ready_ == count(); });
  if (able_ == 0) throw std::system_error(ring_error_, std::generic_category(), "io_uring");
  // Alone there is nobody to put in a receiver's place.
  if (count() > 1) watch_.start();
}

void RingCrew::stop() {
  {
    const std::lock_guard lock(mutex_);
    announce_stop();
  }
  changed_.notify_all();
  Crew::stop();
  watch_.stop();
}

void RingCrew::live() {
  auto engine = UringEngine::create(settings_.depth);
  std::unique_lock lock(mutex_);
  Post& post = *all_posts_.emplace_back(std::make_unique<Post>(watch_));
  ++ready_;
  able_ += engine.ok();
  if (!engine) ring_error_ = engine.code();
  changed_.notify_all();
  for (;;) {
    // The mount answers when its crew is complete.
    const auto may_receive = [&] {
      return receivers_wanted_ != 0 && engine && ready_ == count() && !stopping();
    };
    std::optional<Job> job;
    ++idle_;
    changed_.wait(lock, [&] {
      return may_receive() || (job = jobs_.pop(stopping())).has_value() || stopping();
    });
    --idle_;
    if (job) {
      const bool waits = job->waits;
      lock.unlock();
      run(*std::move(job));
      lock.lock();
      jobs_.done(waits);
    } else if (may_receive()) {
      --receivers_wanted_;
      post.relieved = false;
      posts_.push_back(&post);
      set_blocking(duties_.fd, false);
      lock.unlock();
      Receiver(*this, post, **engine).run();
      lock.lock();
      std::erase(posts_, &post);
    } else {
      break;
    }
  }
}

void RingCrew::hand_over(Job job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push(std::move(job));
  }
  changed_.notify_one();
}

void RingCrew::resume(std::coroutine_handle<> handle) {
  Job job;
  job.ready = handle;
  hand_over(std::move(job));
}

bool RingCrew::part_who_stands_still() {
  bool any = false;
  for (const auto& post : all_posts_) {
    const auto section = post->section.load();
    const bool still = section == post->seen_beside;
    post->seen_beside = section;
    if (!post->placement.joined()) continue;
    any = true;
    if (!still) continue;
    pollfd unread{duties_.fd, POLLIN, 0};
    post->starved = section % 2 != 0 || ::poll(&unread, 1, 0) > 0;
    post->patience = kPatience;
    post->placement.leave();
  }
  return any;
}

bool RingCrew::look_at_posts() {
  bool moved = part_who_stands_still();
  // Who holds the lock may need to be freed first.
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock) return true;
  for (Post* post : posts_) {
    const auto section = post->section.load();
    const bool still = section == post->seen;
    post->seen = section;
    moved = moved || !still;
    if (!still) post->patience = 0;
    // It was kept from its work by others, and has to get a processor first.
    if (!still) continue;
    if (post->patience != 0) {
      --post->patience;
      continue;
    }
    auto stuck = section;
    if (section % 2 != 0 && !post->relieved &&
        post->section.compare_exchange_strong(stuck, section + 1)) {
      post->relieved = true;
      ++receivers_wanted_;
      careful_.begin_gently(Clock::now());
      changed_.notify_all();
    }
  }
  return moved;
}

void RingCrew::call_for_help() {
  const std::lock_guard lock(mutex_);
  if (posts_.size() + receivers_wanted_ >= std::min(settings_.receivers, count())) return;
  ++receivers_wanted_;
  changed_.notify_all();
}

bool RingCrew::leave(Post& post) {
  const std::lock_guard lock(mutex_);
  // Those that are relieved receive no more, and one of them may have been replaced by this one.
  const bool another = std::any_of(posts_.begin(), posts_.end(), [&](const Post* other) {
    return other != &post && !other->relieved;
  });
  if (!post.relieved && !another) return false;
  std::erase(posts_, &post);
  return true;
}

bool RingCrew::let_reads_block(const Post& post, bool block) {
  const std::lock_guard lock(mutex_);
  // Others who receive need reads that do not wait, and have seen to it.
  if (post.relieved || (block && (posts_.size() > 1 || receivers_wanted_ != 0))) return false;
  set_blocking(duties_.fd, block);
  return block;
}

}  // namespace alignfs
