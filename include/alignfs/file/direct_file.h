#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>

#include "alignfs/align/plan.h"
#include "alignfs/base/counters.h"
#include "alignfs/base/result.h"
#include "alignfs/base/task.h"
#include "alignfs/base/unique_fd.h"
#include "alignfs/file/inode_table.h"
#include "alignfs/file/observer.h"
#include "alignfs/io/buffer_pool.h"
#include "alignfs/io/transfer.h"

namespace alignfs {

/// What direct mode is told once a mount, and uses for every file. Constant while mounted.
struct DirectMode {
  /// Refuse what O_DIRECT would refuse, of everybody or of O_DIRECT callers alone.
  bool reject = false;
  bool only_odirect = false;
  /// What becomes of requests that are let through all the same.
  UnalignedPolicy policy = UnalignedPolicy::bounce;
  AlignmentOptions alignment;
  VectorRule vector = VectorRule::memory;
  /// Every write is on media before it returns.
  bool dsync = false;

  BufferPool& buffers;
  RequestObserver& observer;
  Counters& counters;

  /// The largest request plus a block on either side.
  static constexpr std::size_t buffer_size(std::size_t max_request) {
    return max_request + 2 * 64 * 1024;
  }
};

/// A read or write as the edge hands it down.
struct IoRequest {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  Requester requester;
  /// The descriptor had O_DIRECT when the call was made: fcntl changes count at once.
  bool odirect = false;
  bool append = false;
  /// Not a program's call but the page cache of the mount flushing a mapping, or a copy made by the
  /// daemon: neither judged nor reported.
  bool internal = false;
  Durability durability = Durability::none;
};

/// One open handle in direct mode: backing I/O with O_DIRECT whatever the program opened with.
///
/// Holds two descriptors of its own, so that errors of writeback are told once a handle as on the
/// backing: `direct`, and a buffered sibling opened when first needed. Thread-safe.
class DirectFile {
 public:
  /// Bytes read: part of a leased buffer, valid as long as the lease.
  struct ReadData {
    BufferPool::Lease lease;
    std::span<const std::byte> bytes;
  };

  /// `fd` is the backing file opened without O_DIRECT, O_RDWR where the program writes and the
  /// daemon may read, and becomes the direct descriptor. It has O_APPEND only where the backing
  /// allows nothing else (append-only files); Linux ignores the offsets of writes then.
  static Result<std::unique_ptr<DirectFile>> open(DirectMode& mode, Inode& inode,
                                                  std::shared_ptr<OpenInode> shared, UniqueFd fd,
                                                  const Requester& opener);

  /// Reads what the file holds of the range; short only at the end of file. EINVAL if refused.
  Result<ReadData> read(const IoRequest& request);

  /// Writes `data` (in a page-aligned buffer if it is to go down without a copy) and gives the
  /// bytes written, short only where the backing was. `data` must stay until the task is done.
  /// EINVAL if refused, and then nothing is written.
  Task<Result<std::size_t>> write(IoRequest request, std::span<const std::byte> data);

  /// Makes everything written so far durable, with the errors of both descriptors.
  Status sync(bool data_only);
  /// sync() of the data on a mount with dsync: for what changes blocks other than by write().
  Status sync_if_mount_asks() { return mode_.dsync ? sync(true) : Status{}; }
  /// What close(2) would report on the backing.
  Status flush();

  int fd() const { return direct_.get(); }
  const Geometry& geometry() const { return geometry_; }
  const std::shared_ptr<OpenInode>& shared() const { return shared_; }

 private:
  DirectFile(DirectMode& mode, Inode& inode, std::shared_ptr<OpenInode> shared, UniqueFd fd)
      : mode_(mode), inode_(inode), shared_(std::move(shared)), direct_(std::move(fd)) {}

  Fragment fragment_of(const IoRequest& request, Direction direction) const;
  Status judge(const IoRequest& request, Direction direction);
  Result<struct stat> attributes() const;

  /// One step of a write plan, or one plan after the other: bytes written, and in `traffic` what
  /// the backing saw of it.
  struct WriteStep {
    Range range;
    std::span<const std::byte> data;
    Durability durability = Durability::none;
    Place place = Place::at_offset;
    Counters::Cell& traffic;
  };
  Result<std::size_t> carry_out(const WritePlan& plan, const WriteStep& whole);
  Result<std::size_t> write_direct(const WriteStep& step);
  Result<std::size_t> read_modify_write(const WriteStep& step);
  Result<std::size_t> write_buffered(const WriteStep& step);
  bool read_ragged_blocks(const WriteStep& step, Range window, std::byte* into);
  bool ragged_blocks_cached(const WriteStep& step, Range window) const;

  /// The buffered descriptor, or -1 where the backing's permissions forbid a second open.
  int sibling();

  DirectMode& mode_;
  /// Used during requests alone: the kernel may forget the inode before it releases the handle.
  Inode& inode_;
  const std::shared_ptr<OpenInode> shared_;
  const UniqueFd direct_;
  Geometry geometry_;
  /// Boundary that the memory of backing I/O must keep.
  std::uint32_t memory_boundary_ = 1;
  int reopen_flags_ = 0;  ///< O_ACCMODE and O_APPEND of direct_
  std::mutex sibling_mutex_;
  UniqueFd sibling_;
  bool sibling_forbidden_ = false;
};

}  // namespace alignfs
