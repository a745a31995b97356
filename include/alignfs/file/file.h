#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "alignfs/align/plan.h"
#include "alignfs/base/counters.h"
#include "alignfs/base/result.h"
#include "alignfs/base/task.h"
#include "alignfs/base/unique_fd.h"
#include "alignfs/file/account.h"
#include "alignfs/file/inode_table.h"
#include "alignfs/file/observer.h"
#include "alignfs/io/buffer_pool.h"
#include "alignfs/io/transfer.h"

namespace alignfs {

/// What the files of a mount use, whatever its mode. Constant while they are open.
struct FileServices {
  /// Buffers for any request, and more of them for small ones.
  BufferPool& buffers;
  BufferPool& small_buffers;
  RequestObserver& observer;
  Counters& counters;
  /// Whatever changes a file is on media before it returns: of a mount with dsync, or a file that
  /// was opened so.
  Durability durability = Durability::none;

  BufferPool& buffers_for(std::size_t bytes) const {
    return bytes <= small_buffers.buffer_size() ? small_buffers : buffers;
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
  /// Of a read: page-aligned memory that is the request's until its answer is sent, for the data if
  /// it is large enough. May be empty.
  std::span<std::byte> room = {};
};

/// One open handle on a backing file. The modes differ in how its bytes move: DirectFile by
/// O_DIRECT, MappedFile by a mapping, BufferedFile by plain reads and writes.
///
/// Holds a descriptor of its own, so that errors of writeback are told once a handle as on the
/// backing. Thread-safe.
class File {
 public:
  /// Bytes read: part of a leased buffer, valid as long as the lease, or of the request's room.
  struct ReadData {
    BufferPool::Lease lease;
    std::span<const std::byte> bytes;
  };

  virtual ~File() = default;
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  /// Reads what the file holds of the range; short at the end of file, or where the backing failed
  /// after some bytes.
  virtual Task<Result<ReadData>> read(IoRequest request) = 0;

  /// Writes `data` and gives the bytes written, short only where the backing was. `data` must stay
  /// until the task is done.
  virtual Task<Result<std::size_t>> write(IoRequest request, std::span<const std::byte> data) = 0;

  /// True if a read or write of this range leaves the thread at once, to go on when the backing has
  /// answered; else it may keep the thread waiting.
  virtual bool leaves_thread(Direction, std::uint64_t /*offset*/, std::uint64_t /*length*/) const {
    return false;
  }

  /// True if writes wait for one another in a local backing wherever they go: to have several there
  /// at once gains nothing.
  virtual bool writes_take_turns() const { return false; }

  /// Makes everything written so far durable, and tells of errors of earlier writeback.
  virtual Status sync(bool data_only);
  /// For what changes the file other than by write(): sync() where FileServices::durability asks.
  Status sync_if_asked();
  /// What close(2) would report on the backing.
  virtual Status flush();

  /// False if the backing refuses O_DIRECT: it cannot then be opened with a program's own flags. To
  /// be asked before the handle is in use: the flag may be tried on its descriptor.
  virtual bool takes_direct_io() const = 0;

  int fd() const { return fd_.get(); }
  const std::shared_ptr<OpenInode>& shared() const { return shared_; }

 protected:
  File(const FileServices& services, Inode& inode, std::shared_ptr<OpenInode> shared, UniqueFd fd)
      : services_(services), inode_(inode), shared_(std::move(shared)), fd_(std::move(fd)) {}

  Fragment fragment_of(const IoRequest& request, Direction direction) const;
  Account account_of(const IoRequest& request, Direction direction) const {
    return {services_.counters, services_.observer, fragment_of(request, direction)};
  }
  Result<struct stat> attributes() const;
  /// The durability of a write that asks for `asked`: the mount may ask for more.
  Durability at_least(Durability asked) const { return std::max(asked, services_.durability); }

  const FileServices services_;
  /// Used during requests alone: the kernel may forget the inode before it releases the handle.
  Inode& inode_;
  const std::shared_ptr<OpenInode> shared_;

 private:
  const UniqueFd fd_;
};

}  // namespace alignfs
