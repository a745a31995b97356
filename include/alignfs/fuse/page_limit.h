#pragma once

#include <cstddef>
#include <cstdint>

#include "alignfs/base/result.h"
#include "alignfs/fuse/machine_setting.h"

namespace alignfs::kernel {

/// The largest request for direct I/O in blocks of `block` bytes that the next mount can have: what
/// fs.fuse.max_pages_limit allows less one page. It stays in reserve: the kernel cuts requests by
/// pages of the user's buffer, and a buffer that starts inside a page touches one more than its
/// length needs. Where the limit is the kernel's default of 256 and this process may raise it, the
/// reserve comes on top, so that 1 MiB is one request.
std::size_t choose_max_request(std::uint32_t block);

/// Whether a mount can have requests of `bytes`, the page in reserve included. EACCES or EROFS
/// where the limit is lower and this process may not raise it, EOPNOTSUPP before Linux 6.13.
Status check_max_request(std::size_t bytes);

/// Holds fs.fuse.max_pages_limit at what requests of some size need, while a mount is made. The
/// kernel keeps with each mount the limit that it was made under (fuse_conn_init of
/// fs/fuse/inode.c), so what is raised is put back here: no other mount is given more than the
/// machine's administrator allows.
class RaisedPageLimit {
 public:
  /// Raises the limit if requests of `bytes` and the page in reserve need it.
  explicit RaisedPageLimit(std::size_t bytes);
  ~RaisedPageLimit();
  RaisedPageLimit(const RaisedPageLimit&) = delete;
  RaisedPageLimit& operator=(const RaisedPageLimit&) = delete;

  /// An error where the limit stayed lower; check_max_request() tells most of them beforehand.
  /// EBUSY where it is lower and another process holds it locked. A mount that is made all the same
  /// has its requests cut anywhere.
  const Status& status() const { return status_; }

 private:
  Result<MachineSetting> setting_;
  Status status_;
  std::size_t before_ = 0;  ///< 0 where nothing was raised
  std::size_t raised_ = 0;
};

}  // namespace alignfs::kernel
