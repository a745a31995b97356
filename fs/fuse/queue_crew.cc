#include "alignfs/fuse/queue_crew.h"

#include <linux/fuse.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "alignfs/fuse/worker.h"

namespace alignfs {
namespace {

/// What each server of a mount has. The first ones have the queues of their processors, the second
/// ones a part of the same. The very first one has the queues of processors that are not there.
std::vector<QueueServer::Settings> servers_of(const QueueCrew::Settings& crew) {
  const auto& online = crew.processors.online;
  const auto seconds = crew.entries / 2;
  std::vector<QueueServer::Settings> servers;
  const auto add = [&](unsigned queue, unsigned entries, bool roams) {
    servers.push_back({.queue = queue,
                       .entries = std::vector<unsigned>(entries, queue),
                       .roams = roams,
                       .payload = crew.payload,
                       .depth = crew.depth,
                       .local_backing = crew.local_backing,
                       .shares_processor = crew.share_processor});
  };
  for (const unsigned queue : online) add(queue, crew.entries - seconds, false);
  for (unsigned queue = 0; queue < crew.processors.possible; ++queue) {
    if (!std::binary_search(online.begin(), online.end(), queue)) {
      servers.front().entries.push_back(queue);
    }
  }
  if (seconds == 0) return servers;
  for (const unsigned queue : online) add(queue, seconds, true);
  return servers;
}

}  // namespace

QueueCrew::QueueCrew(Duties duties, const Settings& settings)
    : QueueCrew(std::move(duties), settings.helpers, servers_of(settings)) {}

QueueCrew::QueueCrew(Duties duties, unsigned helpers, std::vector<QueueServer::Settings> servers)
    // One reads the device.
    : Crew(std::move(duties), unsigned(servers.size()) + 1 + helpers), jobs_(helpers) {
  QueueServer::Colleagues& colleagues = *this;
  for (auto& server : servers) {
    servers_.push_back(std::make_unique<QueueServer>(colleagues, duties_, std::move(server)));
  }
}

QueueCrew::~QueueCrew() { stop(); }

void QueueCrew::start() {
  Crew::start();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return ready_ == servers_.size(); });
  if (error_ != 0) throw std::system_error(error_, std::generic_category(), "FUSE over io_uring");
  watch_.start();
}

void QueueCrew::stop() {
  {
    const std::lock_guard lock(mutex_);
    announce_stop();
  }
  changed_.notify_all();
  Crew::stop();
  watch_.stop();
}

unsigned QueueCrew::entries_for(std::size_t buffers, const kernel::Processors& processors) {
  const std::size_t busy = processors.online.size();
  const auto taken = 1 + processors.possible - busy;
  return busy == 0 || buffers < taken ? 0 : unsigned((buffers - taken) / busy);
}

bool QueueCrew::wait_for_servers(bool able) {
  std::unique_lock lock(mutex_);
  ++met_;
  able_ = able_ && able;
  changed_.notify_all();
  // With the one that reads the device.
  changed_.wait(lock, [&] { return met_ == servers_.size() + 1 || stopping(); });
  return able_;
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

bool QueueCrew::look_after_servers() {
  bool any = false;
  for (const auto& server : servers_) any = server->look_after() || any;
  return any;
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
  const auto unique = entry.unique();
  Crew::carry_out(entry.message(), entry.room());
  entry.now_known(count);
  // One that came before libfuse knew the request. It may have been answered meanwhile.
  if (interrupts_.any()) interrupt(unique, entry.known_name(unique));
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
  // Their entries are looked through when an INTERRUPT comes.
  if (!wait_for_servers(true)) return;
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
  interrupts_.add(in.unique);
  for (const auto& server : servers_) {
    if (const auto name = server->name_of(in.unique); name != 0) return interrupt(in.unique, name);
  }
}

/// Tells libfuse that the request which it calls `name` should end, if it has one.
void QueueCrew::interrupt(std::uint64_t unique, std::uint64_t name) {
  if (!interrupts_.take(unique) || name == 0) return;
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
