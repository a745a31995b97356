#include "alignfs/file/mapped_inode.h"

#include <algorithm>
#include <cerrno>
#include <ctime>

namespace alignfs {
namespace {

/// The kernel refuses for now, not for good.
bool is_shortage(int error) { return error == ENFILE || error == ENOMEM || error == EAGAIN; }

}  // namespace

std::shared_ptr<const Mapping> MappedInode::mapping(Mapper& mapper, int fd, std::uint64_t size,
                                                    bool writable, int* error) {
  const std::lock_guard guard(mutex_);
  *error = unmappable_;
  writable = writable && !unwritable_;
  const auto have = mapping_ ? mapping_->length() : 0;
  const bool enough = mapping_ && have >= size && (mapping_->writable() || !writable);
  if (enough || unmappable_ != 0) return mapping_;

  // To grow by little is not worth the pages that have to be touched anew.
  const auto least = have < size ? 2 * have : 0;
  auto made = mapper.map(fd, size, least, writable);
  if (!made && writable && !is_shortage(made.code())) {
    unwritable_ = true;
    if (mapping_ && have >= size) return mapping_;
    made = mapper.map(fd, size, least, false);
  }
  if (made) {
    mapping_ = *std::move(made);
  } else {
    *error = made.code();
    if (!is_shortage(*error)) unmappable_ = *error;
  }
  return mapping_;
}

bool MappedInode::stamp_due() {
  // The clock that the kernel takes timestamps from.
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  const auto tick = std::int64_t(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
  return stamp_.exchange(tick, std::memory_order_relaxed) != tick;
}

}  // namespace alignfs
