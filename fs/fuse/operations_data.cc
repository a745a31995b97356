// Data: read, write, flush, fsync, fallocate, lseek, copy_file_range, poll.

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "alignfs/file/resize.h"
#include "alignfs/fuse/operations.h"
#include "alignfs/fuse/worker.h"

namespace alignfs {
namespace {

IoRequest io_request(fuse_req_t request, std::uint64_t offset, std::uint64_t length,
                     const fuse_file_info& info) {
  IoRequest io{.offset = offset, .length = length, .requester = requester_of(request)};
  // These flags are the descriptor's at the time of the call, with RWF_DSYNC and RWF_SYNC mixed in.
  io.odirect = (info.flags & O_DIRECT) != 0;
  io.append = (info.flags & O_APPEND) != 0;
  io.internal = info.writepage != 0;
  io.durability = durability_of(info.flags);
  return io;
}

/// Read for the page cache of the mount, which names no owner of locks. A program's own read has
/// one in every case.
bool is_page_access(const fuse_file_info& info) { return info.lock_owner == 0; }

bool ends_at(const File& file, std::uint64_t offset) {
  struct stat attributes {};
  return ::fstat(file.fd(), &attributes) == 0 && std::uint64_t(attributes.st_size) <= offset;
}

/// A read that the page cache makes. It takes a short answer for the end of file, and would show
/// the file as ending before a page that the backing cannot read.
Task<Result<File::ReadData>> read_pages(File& file, IoRequest io) {
  IoRequest rest = io;
  {
    auto data = co_await file.read(io);
    const auto got = data ? data->bytes.size() : io.length;
    if (got == io.length || ends_at(file, io.offset + got)) co_return data;
    rest.offset += got;
    rest.length -= got;
  }
  // Not while holding the buffer of the first: who waits for one must not keep another.
  if (const auto more = co_await file.read(rest); !more) co_return more.error();
  co_return co_await file.read(io);
}

/// A write of the page cache. It takes any answer but an error for a whole write: what the backing
/// has no room for would be lost without a word.
Task<Result<std::size_t>> write_pages(File& file, IoRequest io,
                                      std::span<const std::byte> payload) {
  std::size_t done = 0;
  do {
    const auto written = co_await file.write(io, payload.subspan(done));
    if (!written) co_return written.error();
    done += *written;
    io.offset += *written;
    io.length -= *written;
  } while (done < payload.size());
  co_return done;
}

/// The file counts reads and writes itself, with their bytes.
Detached read_and_reply(fuse_req_t request, File& file, IoRequest io, bool pages) {
  const auto data =
      co_await without_throwing([&] { return pages ? read_pages(file, io) : file.read(io); });
  if (data) {
    fuse_reply_buf(request, reinterpret_cast<const char*>(data->bytes.data()), data->bytes.size());
  } else {
    fuse_reply_err(request, data.code());
  }
}

void read(Filesystem& filesystem, fuse_req_t request, fuse_ino_t node, std::size_t size,
          off_t offset, fuse_file_info* info) {
  if (Control::is_control(node)) return filesystem.control.read(request, node, size, offset, info);
  auto io = io_request(request, std::uint64_t(offset), size, *info);
  io.room = answer_room();
  read_and_reply(request, file_of(info), io, is_page_access(*info));
}

/// `buffer` holds the payload and goes back when the write is done.
Detached write_and_reply(fuse_req_t request, File& file, IoRequest io,
                         std::span<const std::byte> payload,
                         [[maybe_unused]] BufferPool::Lease buffer) {
  const auto written = co_await without_throwing(
      [&] { return io.internal ? write_pages(file, io, payload) : file.write(io, payload); });
  if (written) {
    fuse_reply_write(request, *written);
  } else {
    fuse_reply_err(request, written.code());
  }
}

/// True if the caller has `group` as its own or as a supplementary one.
bool is_member(fuse_req_t request, gid_t group) {
  if (fuse_req_ctx(request)->gid == group) return true;
  std::vector<gid_t> groups(32);
  int count = fuse_req_getgroups(request, int(groups.size()), groups.data());
  if (count > int(groups.size())) {
    groups.resize(std::size_t(count));
    count = fuse_req_getgroups(request, count, groups.data());
  }
  const auto end = groups.begin() + std::clamp(count, 0, int(groups.size()));
  return std::find(groups.begin(), end, group) != end;
}

/// Takes away the bits that a write by somebody who may not keep them ends, as the kernel does on a
/// local filesystem: setgid without group execution goes where the writer is not of the group. The
/// kernel's copy of the mode must go with them, or it would let the changed file run with the old
/// owner's rights.
Status drop_suidgid(Filesystem& filesystem, fuse_req_t request, fuse_ino_t node, const File& file) {
  struct stat attributes {};
  if (::fstat(file.fd(), &attributes) != 0) return last_error("stat");
  mode_t left = attributes.st_mode & ~mode_t(S_ISUID);
  if ((left & S_ISGID) != 0 && ((left & S_IXGRP) != 0 || !is_member(request, attributes.st_gid))) {
    left &= ~mode_t(S_ISGID);
  }
  if (left == attributes.st_mode) return {};
  if (::fchmod(file.fd(), left & 07777) != 0) {
    // Who may not change the mode for want of rights may not keep the bits either: his own write
    // ends them. Root may not where nobody may (append-only files).
    if (errno != EPERM || ::geteuid() == 0) return last_error("clear the setuid bit");
  }
  // A negative offset drops attributes alone and waits for no lock, so a handler may send it.
  fuse_lowlevel_notify_inval_inode(filesystem.session, node, -1, 0);
  return {};
}

void write(Filesystem& filesystem, fuse_req_t request, fuse_ino_t node, const char* payload,
           std::size_t size, off_t offset, fuse_file_info* info) {
  if (Control::is_control(node)) {
    fuse_reply_err(request, EBADF);
    return;
  }
  const auto io = io_request(request, std::uint64_t(offset), size, *info);
  if (kernel::current_request().kill_suidgid) {
    if (const auto dropped = drop_suidgid(filesystem, request, node, file_of(info)); !dropped) {
      fuse_reply_err(request, dropped.code());
      return;
    }
  }
  write_and_reply(request, file_of(info), io, {reinterpret_cast<const std::byte*>(payload), size},
                  take_request_buffer());
}

void flush(Filesystem& filesystem, fuse_req_t request, fuse_ino_t node, fuse_file_info* info) {
  Reply reply(filesystem, request, Operation::other);
  if (Control::is_control(node)) return reply.error(0);
  reply.status(file_of(info).flush());
}

void fsync(Filesystem& filesystem, fuse_req_t request, fuse_ino_t node, int data_only,
           fuse_file_info* info) {
  Reply reply(filesystem, request, Operation::fsync);
  if (Control::is_control(node)) return reply.error(EINVAL);
  reply.status(file_of(info).sync(data_only != 0));
}

Detached allocate_and_reply(Reply reply, File& file, int mode, std::uint64_t offset,
                            std::uint64_t length) {
  reply.status(co_await without_throwing([&] { return allocate(file, mode, offset, length); }));
}

void fallocate(Filesystem& filesystem, fuse_req_t request, fuse_ino_t node, int mode, off_t offset,
               off_t length, fuse_file_info* info) {
  Reply reply(filesystem, request, Operation::fallocate);
  if (Control::is_control(node)) return reply.error(EBADF);
  allocate_and_reply(reply, file_of(info), mode, std::uint64_t(offset), std::uint64_t(length));
}

void lseek(Filesystem& filesystem, fuse_req_t request, fuse_ino_t node, off_t offset, int whence,
           fuse_file_info* info) {
  Reply reply(filesystem, request, Operation::lseek);
  if (Control::is_control(node)) return reply.error(EINVAL);
  const off_t found = ::lseek(file_of(info).fd(), offset, whence);
  if (found < 0) return reply.error(errno);
  reply.count_sent();
  fuse_reply_lseek(request, found);
}

Detached copy_and_reply(Reply reply, File& from, std::uint64_t from_offset, File& to,
                        std::uint64_t to_offset, std::uint64_t length) {
  const auto copied = co_await without_throwing([&] {
    return copy_range(from, from_offset, to, to_offset, length, reply.filesystem().copy_buffers);
  });
  if (!copied) {
    reply.status(copied.error());
    co_return;
  }
  reply.count_sent(*copied);
  fuse_reply_write(reply.request(), *copied);
}

void copy_file_range(Filesystem& filesystem, fuse_req_t request, fuse_ino_t from_node,
                     off_t from_offset, fuse_file_info* from, fuse_ino_t to_node, off_t to_offset,
                     fuse_file_info* to, std::size_t length, int) {
  Reply reply(filesystem, request, Operation::copy);
  if (Control::is_control(from_node) || Control::is_control(to_node)) return reply.error(EXDEV);
  copy_and_reply(reply, file_of(from), std::uint64_t(from_offset), file_of(to),
                 std::uint64_t(to_offset), length);
}

void poll(Filesystem& filesystem, fuse_req_t request, fuse_ino_t node, fuse_file_info* info,
          fuse_pollhandle* handle) {
  if (Control::is_control(node)) return filesystem.control.poll(request, node, info, handle);
  if (handle != nullptr) fuse_pollhandle_destroy(handle);
  // Regular files are always ready. The kernel asks before each request that a program makes by
  // io_uring, and waits for the answer: such programs ran at a third of their speed. ENOSYS says so
  // for good, but for all files of the mount: not while somebody needs to know it of the events.
  if (!filesystem.control.is_polled()) {
    fuse_reply_err(request, ENOSYS);
  } else {
    fuse_reply_poll(request, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM);
  }
}

}  // namespace

void add_data_operations(fuse_lowlevel_ops& table) {
  table.read = Guarded<read>::call;
  table.write = Guarded<write>::call;
  table.flush = Guarded<flush>::call;
  table.fsync = Guarded<fsync>::call;
  table.fallocate = Guarded<fallocate>::call;
  table.lseek = Guarded<lseek>::call;
  table.copy_file_range = Guarded<copy_file_range>::call;
  table.poll = Guarded<poll>::call;
}

}  // namespace alignfs
