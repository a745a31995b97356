#include "alignfs/fuse/early_interrupts.h"

namespace alignfs {

void EarlyInterrupts::add(std::uint64_t unique) {
  const std::lock_guard guard(mutex_);
  uniques_.push_back(unique);
  if (uniques_.size() > kMost) uniques_.pop_front();
  any_ = true;
}

bool EarlyInterrupts::take(std::uint64_t unique) {
  const std::lock_guard guard(mutex_);
  const bool taken = std::erase(uniques_, unique) != 0;
  any_ = !uniques_.empty();
  return taken;
}

}  // namespace alignfs
