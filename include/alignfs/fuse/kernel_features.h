#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>

#include "alignfs/base/alignment.h"
#include "alignfs/file/inode_table.h"

struct fuse_conn_info;

/// Features of the FUSE protocol newer than the libfuse 3.14 the daemon is built with. libfuse
/// knows neither their bits nor their requests, so the daemon looks at each request before libfuse
/// does and at each reply before it leaves. Only bits that the kernel offered are ever set.
namespace alignfs::kernel {

/// What libfuse does not tell a handler about the request being processed on this thread.
struct RequestExtras {
  /// FUSE_TMPFILE, which libfuse does not know and which was handed to it as FUSE_CREATE.
  bool tmpfile = false;
  /// FUSE_WRITE_KILL_SUIDGID: a write by somebody who may not keep the setuid and setgid bits.
  bool kill_suidgid = false;
  /// FUSE_SETXATTR_ACL_KILL_SGID: the setgid bit must go with the ACL change.
  bool acl_kills_sgid = false;
};

/// Looks at a request, and rewrites it in place where libfuse would not know it. `request` holds a
/// whole message from /dev/fuse; what libfuse is to get is returned, and may begin later. What was
/// found is current on this thread until the next call.
std::span<std::byte> prepare_request(std::span<std::byte> request);

/// What prepare_request() found on this thread.
const RequestExtras& current_request();

/// What the mount asks for and what the kernel granted. Filled during INIT, constant afterwards.
struct Features {
  /// Bytes of one write at most: a multiple of the block, one page below the page limit.
  std::size_t max_request = 0;
  /// Bytes of one read at most: the same or a page more.
  std::size_t max_read = 0;
  /// Program mmap through the page cache of files opened with FOPEN_DIRECT_IO (Linux 6.6).
  bool direct_io_mmap = false;
  /// Program mmap handed to the backing file (Linux 6.9, CAP_SYS_ADMIN).
  bool passthrough = false;
  /// Requests come by io_uring (Linux 6.14, while it is switched on).
  bool over_io_uring = false;
};

/// The largest read for blocks of `block` bytes on a mount with `max_request`. It takes the page in
/// reserve where that makes it a power of two, so that 1 MiB is one request and not two where the
/// limit stays at its default: a read cut inside a block only has to read that block twice. Not
/// where `strict`: there the pieces of a call that cannot be seen are judged as they come.
std::size_t choose_max_read(std::size_t max_request, std::uint32_t block, bool strict);

/// What the kernel wants room for in one message of a mount with `max_request`: with the page in
/// reserve.
constexpr std::size_t max_payload(std::size_t max_request) { return max_request + kPageSize; }

/// To be called by the init handler: the INIT reply about to be sent on this thread gets the bits
/// that 3.14 cannot set, and `features` what the kernel offers of them. The last two are asked for
/// where they are wanted.
void request_features(Features& features, bool want_passthrough, bool want_io_uring);

/// Flags of an OPEN or CREATE reply that 3.14 cannot set. While a scope lives, such a reply sent on
/// this thread gets them: parallel direct writes always, passthrough where `backing_id` is above 0.
class OpenReplyScope {
 public:
  explicit OpenReplyScope(std::int32_t backing_id);
  ~OpenReplyScope();
  OpenReplyScope(const OpenReplyScope&) = delete;
  OpenReplyScope& operator=(const OpenReplyScope&) = delete;
};

/// writev of struct fuse_custom_io: applies what is due on this thread, then sends the reply the
/// way that its request came.
ssize_t send_reply(int fd, iovec* parts, int count, void* userdata);

/// The registration of one backing file with the kernel, for as long as the inode is open. All
/// opens of an inode must name the same one, so it lives in OpenInode::attachment.
class BackingFile {
 public:
  BackingFile(int fuse_fd, std::int32_t id) : fuse_fd_(fuse_fd), id_(id) {}
  ~BackingFile();
  BackingFile(const BackingFile&) = delete;
  BackingFile& operator=(const BackingFile&) = delete;
  std::int32_t id() const { return id_; }

 private:
  int fuse_fd_;
  std::int32_t id_;
};

/// The registration of the open inode `shared`, made if there is none yet; its id, or 0 if the
/// kernel declines. The first answer holds for as long as the inode stays open.
std::int32_t backing_id_for(OpenInode& shared, int fuse_fd);
/// Registers the regular file at `backing_fd` for a moment: 0 if the kernel takes such files, else
/// its errno: ELOOP where the backing is stacked on another filesystem, EPERM without
/// CAP_SYS_ADMIN.
int try_backing_file(int fuse_fd, int backing_fd);
/// True if the kernel has taken the open inode `shared` as a backing file.
bool is_backing_file(OpenInode& shared);

}  // namespace alignfs::kernel
