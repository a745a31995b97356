#pragma once

#include <optional>

#include "alignfs/base/result.h"
#include "alignfs/fuse/machine_setting.h"

namespace alignfs::kernel {

/// Whether the next mount can have its requests by io_uring. EOPNOTSUPP where the kernel has no
/// FUSE over io_uring (before Linux 6.14); EACCES or EROFS where it does not offer it and this
/// process may not change that.
Status check_io_uring_offer();

/// Why a mount should not have its requests by io_uring unless somebody asks for it, as half a line
/// for a person; nullptr where nothing speaks against it. What does:
///
/// - A kernel before 6.18.3. Until then requests of killed callers could be used after they had
///   been freed (CVE-2025-68805), and the first releases had more of that kind.
/// - A mount namespace that may end. A daemon that is killed together with all that use it may hang
///   (docs/design.md has how). The one that the kernel's own threads live in never ends; which that
///   is can be found out by root alone.
const char* objection_to_io_uring();

/// Has the kernel offer FUSE over io_uring, by the parameter enable_uring of its fuse module, while
/// a mount is made up to the answer to INIT. A mount that has taken the offer keeps it
/// (fuse_uring_cmd of fs/fuse/dev_uring.c), so the parameter is put back here: whether other mounts
/// are offered the same is for the machine's administrator to say. If he switches it on in that
/// very moment it is switched off again; if the daemon is killed in it, it stays on.
class IoUringOffer {
 public:
  /// Does nothing unless `wanted`.
  explicit IoUringOffer(bool wanted);
  ~IoUringOffer();
  IoUringOffer(const IoUringOffer&) = delete;
  IoUringOffer& operator=(const IoUringOffer&) = delete;

  /// An error where it was wanted and the kernel does not offer it; check_io_uring_offer() tells
  /// most of them beforehand. EBUSY where it is off and another process holds it locked.
  const Status& status() const { return status_; }

 private:
  Status switch_on();

  /// Empty where nothing was switched on.
  std::optional<MachineSetting> parameter_;
  Status status_;
};

}  // namespace alignfs::kernel
