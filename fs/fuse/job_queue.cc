#include "alignfs/fuse/job_queue.h"

#include <utility>

namespace alignfs {

std::optional<Job> JobQueue::pop(bool all) {
  const bool waits = jobs_.empty() && !long_jobs_.empty() && (all || long_running_ < most_long_);
  auto& queue = waits ? long_jobs_ : jobs_;
  if (queue.empty()) return {};
  long_running_ += waits;
  Job job = std::move(queue.front());
  queue.pop_front();
  return job;
}

}  // namespace alignfs
