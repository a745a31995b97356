#pragma once

#include <coroutine>
#include <cstddef>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "alignfs/io/buffer_pool.h"

namespace alignfs {

class RingEntry;

/// A request, or a coroutine that has become ready, on its way to a helper.
struct Job {
  /// A request lies in a buffer, in a copy, or in the entry that it came in.
  BufferPool::Lease buffer;
  std::vector<std::byte> copy;
  std::span<std::byte> message;
  RingEntry* entry = nullptr;
  std::coroutine_handle<> ready;
  /// Known to wait: written out to the media, or as long as a file is.
  bool waits = false;
};

/// Jobs in the order in which helpers take them: those that are short as a rule come first, and
/// those that are known to wait never occupy the last helper but one. Its owner's mutex must be
/// held.
class JobQueue {
 public:
  /// For `helpers` threads that take jobs.
  explicit JobQueue(unsigned helpers) : most_long_(helpers > 3 ? helpers - 2 : 1) {}

  void push(Job job) { (job.waits ? long_jobs_ : jobs_).push_back(std::move(job)); }
  /// The job that may be done now, or nothing; done() must follow. With `all`, what has to wait for
  /// others comes, too.
  std::optional<Job> pop(bool all);
  void done(bool waits) { long_running_ -= waits; }

 private:
  const unsigned most_long_;
  std::deque<Job> jobs_;
  std::deque<Job> long_jobs_;
  /// How many of them are being done.
  unsigned long_running_ = 0;
};

}  // namespace alignfs
