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
  if ((info.flags & O_DSYNC) != 0) io.durability = Durability::data;
  if ((info.flags & O_SYNC) == O_SYNC) io.durability = Durability::file;
  return io;
}

/// The file counts reads and writes itself, with their bytes.
Detached read_and_reply(fuse_req_t request, File& file, IoRequest io) {
  const auto data = co_await without_throwing([&] { return file.read(io); });
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
  read_and_reply(request, file_of(info), io);
}

/// `buffer` holds the payload and goes back when the write is done.
Detached write_and_reply(fuse_req_t request, File& file, IoRequest io,
                         std::span<const std::byte> payload,
                         [[maybe_unused]] BufferPool::Lease buffer) {
  const auto written = co_await without_throwing([&] { return file.write(io, payload); });
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
  if (::fchmod(file.fd(), left & 07777) != 0) return last_error("clear the setuid bit");
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
