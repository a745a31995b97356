#include "alignfs/file/mapped_inode.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "alignfs/base/proc_path.h"
#include "alignfs/base/unique_fd.h"
#include "alignfs/io/filesystem_kind.h"

namespace alignfs {
namespace {

/// A description of its own to map: the mapping keeps it, and a writer's would hold off execve(2)
/// and leases after the writer has gone. mmap(2) counts as an access, but whoever reads has moved
/// the access time already, unless he asked for it to stay.
UniqueFd open_to_map(int anchor) {
  const ProcPath path(anchor);
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NOATIME | O_CLOEXEC));
  // For the owner alone, and who is not cannot have asked for it either.
  if (!fd && errno == EPERM) fd.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return fd;
}

}  // namespace

Fallback fallback_for(int mapping_error) {
  switch (mapping_error) {
    case ENODEV: return Fallback::unmappable;
    case ENFILE:
    case ENOMEM:
    case EAGAIN: return Fallback::mapping_limit;
    default: return Fallback::mapping_failed;
  }
}

Result<std::shared_ptr<const Mapping>> MappedInode::map_anew(Mapper& mapper, int anchor,
                                                             std::uint64_t size) const {
  // To grow by little is not worth the pages that have to be touched anew.
  const auto least = mapping_ ? 2 * mapping_->length() : 0;
  if (!mapper.has_room(std::min(least, size))) return Error{ENFILE, "map a file: no room"};
  const UniqueFd fd = open_to_map(anchor);
  if (!fd) return last_error("open a file to map it");
  if (!is_local_disk_filesystem(fd.get())) return Error{ENODEV, "map a file of this filesystem"};
  return mapper.map(fd.get(), size, least);
}

std::shared_ptr<const Mapping> MappedInode::mapping(Mapper& mapper, int anchor, std::uint64_t size,
                                                    int* new_error) {
  std::shared_ptr<const Mapping> made;
  {
    const std::lock_guard guard(mutex_);
    *new_error = 0;
    const bool enough = mapping_ && mapping_->length() >= size;
    if (enough || error_ == ENODEV) return mapping_;
    auto result = map_anew(mapper, anchor, size);
    const int before = error_.exchange(result.code());
    if (!result) {
      if (result.code() != before) *new_error = result.code();
      return mapping_;
    }
    made = mapping_ = *std::move(result);
  }
  // Others use the mapping meanwhile.
  mapper.advise(*made, size);
  return made;
}

bool MappedInode::access_due() {
  // The clock that the kernel takes timestamps from.
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  const auto tick = std::int64_t(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
  return accessed_.exchange(tick, std::memory_order_relaxed) != tick;
}

}  // namespace alignfs
