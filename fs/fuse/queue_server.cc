#include "alignfs/fuse/queue_server.h"

#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <system_error>
#include <utility>

namespace alignfs {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

/// What a server does itself takes no longer than this as a rule: about what handing it over and
/// taking the answer back would cost.
constexpr microseconds kShort(100);
/// After something that took this long nothing is risked for kCaution times as long, so that no
/// more than that part of a server's time is lost to those who wait behind it. Not longer than
/// kLongest: the machine may have stood still meanwhile.
constexpr milliseconds kTooLong(10);
constexpr int kCaution = 16;
constexpr std::chrono::seconds kLongest(2);
/// A single caller's call to the backing that takes longer than this is not worth waiting for.
constexpr microseconds kShortCall(500);
/// A server that has something to do so soon after the watch freed it was kept from it: it gets the
/// processor when the others' time is over.
constexpr milliseconds kSoon(8);
/// Requests and ended calls that are worked off before what they led to is handed over: their
/// callers and the disk are not kept waiting for the rest.
constexpr unsigned kPortion = 4;
/// How long a server that is to stop waits before it looks again at what the helpers have done.
constexpr milliseconds kStopStep(1);

/// Processors that this thread may run on.
cpu_set_t affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  ::sched_getaffinity(0, sizeof set, &set);
  return set;
}

bool means_gone(int error) { return error == ENOTCONN || error == ECONNABORTED; }

}  // namespace

void QueueServer::Wake::arm() {
  server_.engine_->queue(*this, [this](io_uring_sqe* entry) {
    ::io_uring_prep_read(entry, server_.wake_.get(), &count_, sizeof count_, 0);
  });
}

void QueueServer::Wake::completed(int) {
  if (!server_.crew_.stopping()) arm();
}

QueueServer::QueueServer(Colleagues& crew, const Duties& duties, Settings settings)
    : crew_(crew), duties_(duties), settings_(std::move(settings)), affinity_(affinity()) {
  wake_.reset(::eventfd(0, EFD_CLOEXEC));
  if (!wake_) throw std::system_error(errno, std::generic_category(), "eventfd");
}

void QueueServer::run() {
  for (const unsigned queue : settings_.entries) {
    entries_.push_back(
        std::make_unique<RingEntry>(*this, queue, duties_.buffers.acquire(), settings_.payload));
  }
  auto engine = UringEngine::create(settings_.depth, unsigned(entries_.size()) + 1);
  placement_ = std::make_unique<Placement>(crew_.watch());
  // The mount answers when its crew is complete.
  const bool all_able = crew_.wait_for_servers(engine.ok());
  if (!all_able) return crew_.server_is_ready(engine.code());
  engine_ = *std::move(engine);
  of_this_thread_ = this;
  const Engine::Use use(*engine_);
  const ReadyQueue::Diversion diversion(crew_.elsewhere());
  enrol();
  // A mount that is gone by now was one.
  const bool taken = lost_by_ == 0 || means_gone(lost_by_);
  crew_.server_is_ready(taken ? 0 : lost_by_);
  if (taken) serve();
  finish();
  engine_.reset();
}

void QueueServer::enrol() {
  roam(false);
  waker_.arm();
  for (const auto& entry : entries_) entry->enrol(*engine_, duties_.fd);
  engine_->submit();
  engine_->end_calls();
}

/// To the other processors, or home to the one whose queue it is. Where the daemon may not run
/// there the queue is served from wherever it may.
void QueueServer::roam(bool away) {
  cpu_set_t home, set;
  CPU_ZERO(&home);
  CPU_SET(settings_.queue, &home);
  CPU_AND(&set, &affinity_, &home);
  if (away) CPU_XOR(&set, &affinity_, &set);
  if (CPU_COUNT(&set) == 0) set = affinity_;
  ::sched_setaffinity(0, sizeof set, &set);
  away_ = away;
}

/// A caller who is alone is on this processor, or would be if it did not seem to be busy.
void QueueServer::share_processor() {
  served_.store(served_ + 1, std::memory_order_relaxed);
  if (gives_way_ && !placement_->joined()) {
    gives_way_ = false;
    const Clock::time_point parted{Clock::duration(parted_.load())};
    const auto now = Clock::now();
    if (parted_at_work_ || now - parted < kSoon) apart_.begin(now);
  }
  const bool alone = may_call_here() && !away_;
  if (alone == gives_way_) return;
  if (!alone) {
    placement_->leave();
    gives_way_ = false;
  } else if (!apart_.holds()) {
    gives_way_ = placement_->join(settings_.queue);
    if (!gives_way_) apart_.begin();
  }
}

bool QueueServer::look_after() {
  const bool goes_on = section_ != seen_section_ || section_ % 2 != 0;
  if (looks_stuck()) crew_.caution().begin();
  if (!placement_->joined()) return goes_on;
  const auto served = served_.load();
  if (served == seen_) {
    parted_at_work_ = !sleeps_;
    parted_ = Clock::now().time_since_epoch().count();
    placement_->leave();
  }
  seen_ = served;
  return true;
}

bool QueueServer::looks_stuck() {
  const auto section = section_.load();
  still_ = section % 2 != 0 && section == seen_section_ ? still_ + 1 : 0;
  seen_section_ = section;
  return still_ * Watch::kInterval >= kTooLong;
}

void QueueServer::serve() {
  serves_ = true;
  while (!crew_.stopping()) {
    wait();
    work_off();
  }
}

/// Ends what is in hand. What comes now is left: the mount ends, or the daemon.
void QueueServer::finish() {
  placement_->leave();
  while (engine_->in_flight() != 0 || in_hand_ != 0) {
    while (crew_.do_a_job()) {
    }
    commit_what_others_answered();
    engine_->wait_for_calls(kStopStep);
    const ReadyQueue::Scope scope;
    engine_->end_calls();
  }
  engine_->submit();
}

void QueueServer::wait() {
  sleeps_ = !engine_->has_more();
  // An answer that was given before others could see that is seen here.
  commit_what_others_answered();
  engine_->submit_and_wait();
  sleeps_ = false;
}

void QueueServer::work_off() {
  {
    const ReadyQueue::Scope scope;
    engine_->end_calls(kPortion);
  }
  commit_what_others_answered();
  for (std::size_t i = 0; i < arrived_.size(); ++i) dispatch(*arrived_[i]);
  arrived_.clear();
}

void QueueServer::dispatch(RingEntry& entry) {
  const Pace pace = duties_.pace(entry.message());
  ++in_hand_;
  // Of those that came together the first is not alone either, though it may be over when the next
  // one is looked at.
  if (pace.awaited) {
    callers_.note(pace.caller, std::max<std::size_t>(in_hand_, arrived_.size()) - 1);
  }
  if (settings_.shares_processor) share_processor();
  // Many requests of one caller are work for two processors, and his own he occupies with asking.
  if (settings_.roams && callers_.crowded() != away_) roam(callers_.crowded());
  if (pace.kind == Pace::Kind::leaves_thread && may_call_here()) {
    call_here(entry);
  } else if (pace.kind == Pace::Kind::at_once || pace.kind == Pace::Kind::leaves_thread) {
    crew_.carry_out(entry);
  } else if (may_run_here(pace)) {
    run_here(entry);
  } else {
    Job job;
    job.entry = &entry;
    job.waits = pace.kind == Pace::Kind::waits;
    crew_.hand_over(std::move(job));
  }
}

bool QueueServer::may_call_here() const {
  return settings_.local_backing && callers_.alone() && !is_careful();
}

bool QueueServer::may_run_here(const Pace& pace) {
  if (!settings_.local_backing || pace.kind == Pace::Kind::waits || is_careful()) {
    return false;
  }
  if (usual_ < kShort || callers_.alone()) return true;
  // Nothing is measured any more; what was is forgotten in time, and tried again.
  usual_ -= usual_ / 64;
  return false;
}

void QueueServer::run_here(RingEntry& entry) {
  // Not before what others wait for is on its way.
  if (in_hand_ > 1) engine_->submit();
  // Workers that the kernel makes for the ring's calls must not give way for ever.
  BlockingEngine blocking;
  std::optional<Engine::Use> use;
  if (gives_way_) use.emplace(blocking);
  const auto time = occupied_by(entry);
  usual_ += (time - usual_) / 8;
  if (time > kTooLong) be_careful_after(time);
}

/// A single caller's call to the backing is cheaper by a system call that waits than by the ring.
void QueueServer::call_here(RingEntry& entry) {
  BlockingEngine blocking;
  const Engine::Use use(blocking);
  const auto time = occupied_by(entry);
  if (time > kShortCall) be_careful_after(time);
}

void QueueServer::be_careful_after(Clock::duration time) {
  careful_.begin(Clock::now(), std::min<Clock::duration>(kCaution * time, kLongest));
}

QueueServer::Clock::duration QueueServer::occupied_by(RingEntry& entry) {
  const auto begun = Clock::now();
  ++section_;
  crew_.watch().wake();
  crew_.carry_out(entry);
  ++section_;
  return Clock::now() - begun;
}

void QueueServer::commit(RingEntry& entry) {
  // What made no message was answered without having been in hand.
  if (!entry.message().empty()) --in_hand_;
  entry.commit(*engine_, duties_.fd);
}

void QueueServer::answered(RingEntry& entry) {
  if (of_this_thread_ == this) return commit(entry);
  {
    const std::lock_guard guard(mutex_);
    answered_elsewhere_.push_back(&entry);
  }
  if (!sleeps_.exchange(false)) return;
  const std::uint64_t one = 1;
  if (::write(wake_.get(), &one, sizeof one) < 0)
    spdlog::error("eventfd: {}", std::strerror(errno));
}

void QueueServer::commit_what_others_answered() {
  std::vector<RingEntry*> answered;
  {
    const std::lock_guard guard(mutex_);
    answered.swap(answered_elsewhere_);
  }
  for (RingEntry* entry : answered) commit(*entry);
}

void QueueServer::lost(RingEntry&, int error) {
  lost_by_ = error;
  if (means_gone(error)) return duties_.gone();
  // Before it serves, the start of the crew tells.
  if (serves_) spdlog::error("the kernel gave a place for requests up: {}", std::strerror(error));
}

std::uint64_t QueueServer::name_of(std::uint64_t unique) const {
  for (const auto& entry : entries_) {
    if (const auto name = entry->known_name(unique); name != 0) return name;
  }
  return 0;
}

}  // namespace alignfs
