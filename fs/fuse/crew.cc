#include "alignfs/fuse/crew.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>

#include "alignfs/base/alignment.h"
#include "alignfs/base/task.h"
#include "alignfs/fuse/credentials.h"
#include "alignfs/fuse/worker.h"

namespace alignfs {
namespace {

/// Interrupts a thread that waits for requests.
constexpr int kWakeSignal = SIGUSR2;

thread_local std::span<std::byte> room_of_this_thread;

}  // namespace

BufferPool::Lease& request_buffer() {
  thread_local BufferPool::Lease buffer;
  return buffer;
}

BufferPool::Lease take_request_buffer() { return std::move(request_buffer()); }

std::span<std::byte> answer_room() { return room_of_this_thread; }

void Crew::start() {
  struct sigaction wake {};
  wake.sa_handler = [](int) {};
  ::sigaction(kWakeSignal, &wake, nullptr);
  // Whoever started the daemon may have blocked it.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, kWakeSignal);
  ::pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  for (unsigned i = 0; i < count_; ++i) {
    threads_.emplace_back([this] {
      give_thread_its_own_umask();
      live();
      request_buffer() = {};
      --running_;
    });
    ++running_;
  }
}

void Crew::stop() {
  announce_stop();
  // A signal that comes just before a thread waits is lost: send it until the last one has ended.
  // Less and less often, because it interrupts fallocate(2), too, which begins anew on some
  // kernels.
  constexpr std::chrono::milliseconds kLongest(1000);
  for (std::chrono::milliseconds pause(1); running_ != 0; pause = std::min(2 * pause, kLongest)) {
    for (auto& thread : threads_) ::pthread_kill(thread.native_handle(), kWakeSignal);
    std::this_thread::sleep_for(pause);
  }
  for (auto& thread : threads_) thread.join();
  threads_.clear();
}

void Crew::carry_out(std::span<std::byte> message, std::span<std::byte> room) const {
  const ReadyQueue::Scope scope;
  room_of_this_thread = room;
  duties_.process(message);
  room_of_this_thread = {};
}

std::span<std::byte> Crew::room_behind_request() const {
  return {request_buffer().data() + kPageSize, duties_.max_message - kWriteHeader};
}

void Crew::run(Job job) const {
  if (job.ready) {
    const ReadyQueue::Scope scope;
    return job.ready.resume();
  }
  if (job.buffer) request_buffer() = std::move(job.buffer);
  carry_out(job.message);
  request_buffer() = {};
}

std::span<std::byte> Crew::receive() {
  std::byte* begin = request_buffer().data() + kPageSize - kWriteHeader;
  const ssize_t size = ::read(duties_.fd, begin, duties_.max_message);
  if (size > 0) return {begin, std::size_t(size)};
  if (size == 0) errno = ENODEV;
  // ENOENT: the request was interrupted before it was read.
  if (errno == EINTR || errno == ENOENT || errno == EAGAIN) return {};
  if (errno != ENODEV) spdlog::error("read of /dev/fuse: {}", std::strerror(errno));
  duties_.gone();
  errno = ENODEV;
  return {};
}

void BlockingCrew::live() {
  while (!stopping()) {
    if (!request_buffer()) request_buffer() = duties_.buffers.acquire();
    const auto message = receive();
    if (message.empty() && errno == ENODEV) break;
    if (message.empty()) continue;
    // Reads wait for nothing but the backing, and that this thread waits for itself.
    carry_out(message, room_behind_request());
  }
}

}  // namespace alignfs
