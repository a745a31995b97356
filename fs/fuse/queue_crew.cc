#include "alignfs/fuse/queue_crew.h"

#include <linux/fuse.h>
#include <sched.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "alignfs/base/unique_fd.h"
#include "alignfs/fuse/worker.h"
#include "alignfs/io/uring_engine.h"

namespace alignfs {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;
using std::chrono::milliseconds;

/// What a server does itself takes no longer than this as a rule: about what handing it over and
/// taking the answer back would cost.
constexpr Clock::duration kShort = microseconds(100);
/// After something that took this long nothing is risked for a while.
constexpr milliseconds kTooLong(2);
constexpr milliseconds kCareful(100);
/// How long a server that is to stop waits before it looks again at what the helpers have done.
constexpr milliseconds kStopStep(1);
/// Interrupts that are kept for requests yet to be taken: one for each caller who waits for that.
constexpr std::size_t kMostInterrupts = 256;

/// One caller is alone after so many requests, and a call to the backing that takes him longer than
/// this is not worth waiting for.
constexpr int kAlone = 16;
constexpr microseconds kShortCall(500);
/// For so many requests one way or the other a server that roams stays where it is.
constexpr int kLoyalty = 64;

/// Processors that this thread may run on.
cpu_set_t affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  ::sched_getaffinity(0, sizeof set, &set);
  return set;
}

/// Entries of a queue that its second server has.
unsigned second_part(unsigned entries) { return entries / 2; }

unsigned servers_for(const QueueCrew::Settings& settings) {
  const auto queues = unsigned(settings.processors.online.size());
  return second_part(settings.entries) == 0 ? queues : 2 * queues;
}

bool means_gone(int error) { return error == ENOTCONN || error == ECONNABORTED; }

}  // namespace

/// One thread with a part of a queue's entries.
class QueueCrew::Server final : public RingEntry::Server {
 public:
  /// `second` is the one that roams.
  Server(QueueCrew& crew, unsigned queue, bool second)
      : crew_(crew), queue_(queue), second_(second), affinity_(affinity()) {
    wake_.reset(::eventfd(0, EFD_CLOEXEC));
    if (!wake_) throw std::system_error(errno, std::generic_category(), "eventfd");
  }

  void run();
  std::uint64_t name_of(std::uint64_t unique) const;

 private:
  /// The eventfd by which other threads say that they have answered.
  class Wake final : public UringEngine::Guest {
   public:
    explicit Wake(Server& server) : server_(server) {}
    void arm() {
      server_.engine_->queue(*this, [this](io_uring_sqe* entry) {
        ::io_uring_prep_read(entry, server_.wake_.get(), &count_, sizeof count_, 0);
      });
    }

   private:
    void completed(int) override {
      if (!server_.crew_.stopping()) arm();
    }
    Server& server_;
    std::uint64_t count_ = 0;
  };

  void make_entries();
  void enrol();
  void serve();
  void finish();
  void wait();
  void work_off();
  void roam(bool away);
  void look_at_callers(pid_t caller);
  void dispatch(RingEntry& entry);
  bool careful() const;
  bool may_call_here() const;
  bool may_run_here(const Pace& pace);
  void run_here(RingEntry& entry);
  void call_here(RingEntry& entry);
  Clock::duration occupied_by(RingEntry& entry);
  void commit(RingEntry& entry);
  void commit_what_others_answered();

  void arrived(RingEntry& entry) override { arrived_.push_back(&entry); }
  void answered(RingEntry& entry) override;
  void lost(RingEntry& entry, int error) override;

  QueueCrew& crew_;
  const unsigned queue_;
  const bool second_;
  /// What it was started with, which may be less than the machine.
  const cpu_set_t affinity_;
  std::unique_ptr<UringEngine> engine_;
  std::vector<std::unique_ptr<RingEntry>> entries_;
  std::vector<RingEntry*> arrived_;
  Wake waker_{*this};
  UniqueFd wake_;
  /// Requests that were taken and not committed.
  unsigned in_hand_ = 0;
  bool away_ = false;
  pid_t last_caller_ = 0;
  /// Requests in a row that were alone here, all of one caller; not counted beyond kAlone.
  int alone_ = 0;
  /// Requests whose caller had another one here, less those whose caller had not.
  int crowd_ = 0;
  /// Why the kernel has given entries up; 0 if it has not.
  int lost_by_ = 0;
  /// Mean of the time that requests carried out here take.
  Clock::duration usual_{0};
  Clock::time_point careful_until_{};

  std::mutex mutex_;
  std::vector<RingEntry*> answered_elsewhere_;
  std::atomic<bool> sleeps_{false};
  static inline thread_local Server* of_this_thread_ = nullptr;
};

void QueueCrew::Server::make_entries() {
  const auto& settings = crew_.settings_;
  const auto add = [&](unsigned queue) {
    entries_.push_back(std::make_unique<RingEntry>(*this, queue, crew_.duties_.buffers.acquire(),
                                                   settings.payload));
  };
  const auto seconds = second_part(settings.entries);
  for (unsigned i = 0; i < (second_ ? seconds : settings.entries - seconds); ++i) add(queue_);
  const auto& online = settings.processors.online;
  if (second_ || queue_ != online.front()) return;
  for (unsigned queue = 0; queue < settings.processors.possible; ++queue) {
    if (!std::binary_search(online.begin(), online.end(), queue)) add(queue);
  }
}

void QueueCrew::Server::run() {
  make_entries();
  auto engine = UringEngine::create(crew_.settings_.depth, unsigned(entries_.size()) + 1);
  // The mount answers when its crew is complete.
  crew_.wait_for_servers();
  if (!engine) return crew_.server_is_ready(engine.code());
  engine_ = *std::move(engine);
  of_this_thread_ = this;
  const Engine::Use use(*engine_);
  const ReadyQueue::Diversion diversion(static_cast<ReadyQueue::Elsewhere&>(crew_));
  enrol();
  // A mount that is gone by now was one.
  const bool taken = lost_by_ == 0 || means_gone(lost_by_);
  crew_.server_is_ready(taken ? 0 : lost_by_);
  if (taken) serve();
  finish();
  engine_.reset();
}

void QueueCrew::Server::enrol() {
  roam(false);
  waker_.arm();
  for (const auto& entry : entries_) entry->enrol(*engine_, crew_.duties_.fd);
  engine_->submit();
  engine_->end_calls();
}

/// To the other processors, or home to the one whose queue it is. Where the daemon may not run
/// there the queue is served from wherever it may.
void QueueCrew::Server::roam(bool away) {
  cpu_set_t home, set;
  CPU_ZERO(&home);
  CPU_SET(queue_, &home);
  CPU_AND(&set, &affinity_, &home);
  if (away) CPU_XOR(&set, &affinity_, &set);
  if (CPU_COUNT(&set) == 0) set = affinity_;
  ::sched_setaffinity(0, sizeof set, &set);
  away_ = away;
}

void QueueCrew::Server::look_at_callers(pid_t caller) {
  const bool same = caller == last_caller_;
  // Of those that came together the first is not alone either, though it may be over when the
  // next one is looked at.
  const bool company = in_hand_ > 1 || arrived_.size() > 1;
  last_caller_ = caller;
  alone_ = same && !company ? std::min(alone_ + 1, kAlone) : 0;
  if (!second_) return;
  // Many requests of one caller are work for two processors, and his own he occupies with asking.
  crowd_ = std::clamp(crowd_ + (same && company ? 1 : -1), 0, kLoyalty);
  if (!away_ && crowd_ == kLoyalty) roam(true);
  if (away_ && crowd_ == 0) roam(false);
}

void QueueCrew::Server::serve() {
  while (!crew_.stopping()) {
    wait();
    work_off();
  }
}

/// Ends what is in hand. What comes now is left: the mount ends, or the daemon.
void QueueCrew::Server::finish() {
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

void QueueCrew::Server::wait() {
  sleeps_ = true;
  // An answer that was given before others could see that is seen here.
  commit_what_others_answered();
  engine_->submit_and_wait();
  sleeps_ = false;
}

void QueueCrew::Server::work_off() {
  {
    const ReadyQueue::Scope scope;
    engine_->end_calls();
  }
  commit_what_others_answered();
  for (std::size_t i = 0; i < arrived_.size(); ++i) dispatch(*arrived_[i]);
  arrived_.clear();
}

void QueueCrew::Server::dispatch(RingEntry& entry) {
  const Pace pace = crew_.duties_.pace(entry.message());
  ++in_hand_;
  look_at_callers(pace.caller);
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

bool QueueCrew::Server::careful() const {
  return careful_until_ != Clock::time_point{} && Clock::now() < careful_until_;
}

bool QueueCrew::Server::may_call_here() const {
  return crew_.settings_.local_backing && alone_ == kAlone && !careful();
}

bool QueueCrew::Server::may_run_here(const Pace& pace) {
  if (!crew_.settings_.local_backing || pace.kind == Pace::Kind::waits || careful()) return false;
  if (usual_ < kShort || alone_ == kAlone) return true;
  // Nothing is measured any more; what was is forgotten in time, and tried again.
  usual_ -= usual_ / 64;
  return false;
}

void QueueCrew::Server::run_here(RingEntry& entry) {
  // Not before what others wait for is on its way.
  if (in_hand_ > 1) engine_->submit();
  const auto time = occupied_by(entry);
  usual_ += (time - usual_) / 8;
  if (time > kTooLong) careful_until_ = Clock::now() + kCareful;
}

/// A single caller's call to the backing is cheaper by a system call that waits than by the ring.
void QueueCrew::Server::call_here(RingEntry& entry) {
  BlockingEngine blocking;
  const Engine::Use use(blocking);
  if (occupied_by(entry) > kShortCall) careful_until_ = Clock::now() + kCareful;
}

Clock::duration QueueCrew::Server::occupied_by(RingEntry& entry) {
  const auto begun = Clock::now();
  crew_.carry_out(entry);
  return Clock::now() - begun;
}

void QueueCrew::Server::commit(RingEntry& entry) {
  // What made no message was answered without having been in hand.
  if (!entry.message().empty()) --in_hand_;
  entry.commit(*engine_, crew_.duties_.fd);
}

void QueueCrew::Server::answered(RingEntry& entry) {
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

void QueueCrew::Server::commit_what_others_answered() {
  std::vector<RingEntry*> answered;
  {
    const std::lock_guard guard(mutex_);
    answered.swap(answered_elsewhere_);
  }
  for (RingEntry* entry : answered) commit(*entry);
}

void QueueCrew::Server::lost(RingEntry&, int error) {
  lost_by_ = error;
  if (means_gone(error)) return crew_.duties_.gone();
  spdlog::error("the kernel gave a place for requests up: {}", std::strerror(error));
}

std::uint64_t QueueCrew::Server::name_of(std::uint64_t unique) const {
  for (const auto& entry : entries_) {
    if (const auto name = entry->known_name(unique); name != 0) return name;
  }
  return 0;
}

QueueCrew::QueueCrew(Duties duties, const Settings& settings)
    // One reads the device.
    : Crew(std::move(duties), servers_for(settings) + 1 + settings.helpers),
      settings_(settings),
      jobs_(settings.helpers) {
  for (unsigned i = 0; i < servers_for(settings_); ++i) {
    const auto& online = settings_.processors.online;
    servers_.push_back(
        std::make_unique<Server>(*this, online[i % online.size()], i >= online.size()));
  }
}

QueueCrew::~QueueCrew() { stop(); }

void QueueCrew::start() {
  Crew::start();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return ready_ == servers_.size(); });
  if (error_ != 0) throw std::system_error(error_, std::generic_category(), "FUSE over io_uring");
}

void QueueCrew::stop() {
  {
    const std::lock_guard lock(mutex_);
    announce_stop();
  }
  changed_.notify_all();
  Crew::stop();
}

unsigned QueueCrew::entries_for(std::size_t buffers, const kernel::Processors& processors) {
  const std::size_t busy = processors.online.size();
  const auto taken = 1 + processors.possible - busy;
  return busy == 0 || buffers < taken ? 0 : unsigned((buffers - taken) / busy);
}

void QueueCrew::wait_for_servers() {
  std::unique_lock lock(mutex_);
  ++made_;
  changed_.notify_all();
  changed_.wait(lock, [&] { return made_ == servers_.size() || stopping(); });
}

void QueueCrew::server_is_ready(int error) {
  {
    const std::lock_guard lock(mutex_);
    ++ready_;
    if (error != 0) error_ = error;
  }
  changed_.notify_all();
}

void QueueCrew::live() {
  const unsigned role = roles_++;
  if (role < servers_.size()) {
    servers_[role]->run();
  } else if (role == servers_.size()) {
    read_device();
  } else {
    help();
  }
}

void QueueCrew::help() {
  std::unique_lock lock(mutex_);
  for (;;) {
    std::optional<Job> job;
    changed_.wait(lock, [&] { return (job = jobs_.pop(stopping())).has_value() || stopping(); });
    if (!job) return;
    const bool waits = job->waits;
    lock.unlock();
    run(*std::move(job));
    lock.lock();
    jobs_.done(waits);
    // One that was held back may be due now.
    if (waits) changed_.notify_one();
  }
}

void QueueCrew::carry_out(RingEntry& entry) {
  const auto count = entry.count();
  Crew::carry_out(entry.message(), entry.room());
  entry.now_known(count);
  if (early_) catch_up_with_interrupts(entry);
}

void QueueCrew::run(Job job) {
  if (job.entry != nullptr) {
    carry_out(*job.entry);
  } else {
    Crew::run(std::move(job));
  }
}

void QueueCrew::hand_over(Job job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push(std::move(job));
  }
  changed_.notify_one();
}

void QueueCrew::resume(std::coroutine_handle<> handle) {
  Job job;
  job.ready = handle;
  hand_over(std::move(job));
}

bool QueueCrew::do_a_job() {
  std::optional<Job> job;
  {
    const std::lock_guard lock(mutex_);
    job = jobs_.pop(true);
    if (!job) return false;
    jobs_.done(job->waits);
  }
  run(*std::move(job));
  return true;
}

void QueueCrew::read_device() {
  request_buffer() = duties_.buffers.acquire();
  while (!stopping()) {
    const auto message = receive();
    if (message.empty() && errno == ENODEV) return;
    fuse_in_header header;
    if (message.size() < sizeof header) continue;
    std::memcpy(&header, message.data(), sizeof header);
    if (header.opcode == FUSE_INTERRUPT) {
      pass_on_interrupt(message);
    } else {
      Crew::carry_out(message);
    }
  }
}

void QueueCrew::pass_on_interrupt(std::span<std::byte> message) {
  fuse_interrupt_in in;
  if (message.size() < sizeof(fuse_in_header) + sizeof in) return;
  std::memcpy(&in, message.data() + sizeof(fuse_in_header), sizeof in);
  {
    const std::lock_guard guard(interrupts_mutex_);
    early_interrupts_.push_back(in.unique);
    if (early_interrupts_.size() > kMostInterrupts) early_interrupts_.pop_front();
    early_ = true;
  }
  for (const auto& server : servers_) {
    if (const auto name = server->name_of(in.unique); name != 0) return interrupt(in.unique, name);
  }
}

void QueueCrew::catch_up_with_interrupts(const RingEntry& entry) {
  std::uint64_t found = 0;
  {
    const std::lock_guard guard(interrupts_mutex_);
    for (const auto unique : early_interrupts_) {
      if (entry.known_name(unique) != 0) found = unique;
    }
  }
  if (found != 0) interrupt(found, entry.known_name(found));
}

/// Tells libfuse that the request which it calls `name` should end.
void QueueCrew::interrupt(std::uint64_t unique, std::uint64_t name) {
  {
    // Whoever takes it out passes it on.
    const std::lock_guard guard(interrupts_mutex_);
    if (std::erase(early_interrupts_, unique) == 0) return;
    early_ = !early_interrupts_.empty();
  }
  struct {
    fuse_in_header header;
    fuse_interrupt_in in;
  } message{};
  message.header.len = sizeof message;
  message.header.opcode = FUSE_INTERRUPT;
  message.in.unique = name;
  Crew::carry_out(std::as_writable_bytes(std::span(&message, 1)));
}

}  // namespace alignfs
