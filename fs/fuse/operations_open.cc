// Opening and closing regular files: open, create, O_TMPFILE, release.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <utility>

#include "alignfs/fuse/credentials.h"
#include "alignfs/fuse/operations.h"

namespace alignfs {
namespace {

/// Opens for what the program wants, and for reading too where it only writes: a read-modify-write
/// needs that. `open_with(flags)` is tried again without where the backing's permissions forbid it.
///
/// O_APPEND is left out, except for append-only files, because Linux would then ignore the offsets
/// of writes; O_SYNC and O_DSYNC come with each request, and File knows them; the kernel truncates
/// by SETATTR; O_DIRECT is set by DirectFile.
template <typename OpenWith>
Result<UniqueFd> open_for(const MountOptions& options, int program_flags, OpenWith open_with) {
  const int no_atime = options.keeps_atime() ? O_NOATIME : program_flags & O_NOATIME;
  const int append = program_flags & O_APPEND;
  const int access = program_flags & O_ACCMODE;
  const int wanted = access == O_WRONLY ? O_RDWR : access;
  int fd = open_with(wanted | no_atime);
  if (fd < 0 && errno == EPERM && no_atime != 0) fd = open_with(wanted);
  if (fd < 0 && errno == EPERM && append != 0) fd = open_with(wanted | append);
  if (fd < 0 && errno == EACCES && access == O_WRONLY) {
    fd = open_with(O_WRONLY);
    if (fd < 0 && errno == EPERM && append != 0) fd = open_with(O_WRONLY | append);
  }
  if (fd < 0) return last_error("open the backing file");
  return UniqueFd(fd);
}

Result<File*> add_file(Filesystem& filesystem, Inode& inode,
                       Result<std::shared_ptr<OpenInode>> shared, UniqueFd fd,
                       const Filesystem::Opening& opening) {
  if (!shared) return shared.error();
  auto file = filesystem.open_file(inode, *std::move(shared), std::move(fd), opening);
  if (!file) return file.error();
  const std::lock_guard guard(filesystem.files_mutex);
  filesystem.files.insert(file->get());
  return (*std::move(file)).release();
}

void remove_file(Filesystem& filesystem, File* file) {
  {
    const std::lock_guard guard(filesystem.files_mutex);
    filesystem.files.erase(file);
  }
  delete file;
}

/// Fills in what the kernel is to do with the handle. Returns the id of the backing file that it
/// serves mmap from, and with -o passthrough reads and writes too, or 0.
std::int32_t describe(Filesystem& filesystem, const File& file, const Inode& inode,
                      fuse_req_t request, fuse_file_info* info) {
  const bool whole = filesystem.options.passthrough;
  std::int32_t id = 0;
  // The kernel opens the backing anew with the program's flags, which fails with O_DIRECT where
  // that is refused: as it would on the backing, but the daemon would not mind.
  if (filesystem.features.passthrough && (whole || file.takes_direct_io())) {
    id = kernel::backing_id_for(*file.shared(), fuse_session_fd(filesystem.session));
  }
  // Saves a request a close. The page cache of the mount holds nothing to be written out then, and
  // the backing's close would report nothing.
  info->noflush =
      id > 0 && filesystem.local_disk && inode.id().device == filesystem.inodes->root().id().device;
  info->fh = reinterpret_cast<std::uint64_t>(&file);
  // Each call comes as it was made, not as the page cache would make it.
  info->direct_io = !(whole && id > 0);
  if (whole && id <= 0) {
    Fragment opened;
    opened.requester = requester_of(request);
    opened.file = inode.id();
    opened.backing_fd = file.fd();
    filesystem.reporter.fallback(Fallback::no_passthrough, opened, {});
  }
  return id;
}

void open(Filesystem& filesystem, fuse_req_t request, fuse_ino_t node, fuse_file_info* info) {
  if (Control::is_control(node)) return filesystem.control.open(request, node, info);
  Reply reply(filesystem, request, Operation::open);
  auto& inode = inode_of(filesystem, node);
  auto shared = filesystem.inodes->open_state(inode);
  if (!shared) return reply.error(shared.code());
  auto fd =
      open_for(filesystem.options, info->flags, [anchor = (*shared)->anchor.get()](int flags) {
        return ::open(ProcPath(anchor).c_str(), flags | O_CLOEXEC);
      });
  if (!fd) return reply.error(fd.code());
  const auto file = add_file(filesystem, inode, std::move(shared), *std::move(fd),
                             {info->flags, requester_of(request)});
  if (!file) return reply.error(file.code());

  const kernel::OpenReplyScope scope(describe(filesystem, **file, inode, request, info));
  reply.count_sent();
  // The program was interrupted: nobody will release what it never got.
  if (fuse_reply_open(request, info) != 0) remove_file(filesystem, *file);
}

/// Always exclusive: whether a caller may open a file that is there is for the kernel to say, and
/// it has not been asked. ESTALE makes it look again and then send an OPEN.
Result<UniqueFd> create_backing(const MountOptions& options, int directory, const char* name,
                                mode_t mode, int flags) {
  const bool unnamed = kernel::current_request().tmpfile;
  const int kind = unnamed ? O_TMPFILE | (flags & O_EXCL) : O_CREAT | O_EXCL | O_NOFOLLOW;
  auto fd = open_for(options, flags, [&](int access) {
    return ::openat(directory, unnamed ? "." : name, access | kind | O_CLOEXEC, mode);
  });
  if (fd.code() == EEXIST && (flags & O_EXCL) == 0) return Error{ESTALE, "create a file"};
  return fd;
}

void create(Filesystem& filesystem, fuse_req_t request, fuse_ino_t parent, const char* name,
            mode_t mode, fuse_file_info* info) {
  Reply reply(filesystem, request, Operation::create);
  if (Control::is_control(parent) || filesystem.control.reserves(parent, name)) {
    return reply.error(EPERM);
  }
  const auto directory = filesystem.inodes->path_of(inode_of(filesystem, parent));
  if (!directory) return reply.error(directory.code());
  auto fd = [&] {
    const auto* caller = fuse_req_ctx(request);
    const CallerCredentials credentials(caller->uid, caller->gid, caller->umask);
    return create_backing(filesystem.options, directory->get(), name, mode, info->flags);
  }();
  if (!fd) return reply.error(fd.code());
  struct stat attributes {};
  const auto inode = filesystem.inodes->adopt(fd->get(), &attributes);
  if (!inode) return reply.error(inode.code());
  filesystem.reporter.forget_errors((*inode)->id());
  const auto file = add_file(filesystem, **inode, filesystem.inodes->open_state(**inode),
                             *std::move(fd), {info->flags, requester_of(request)});
  if (!file) {
    filesystem.inodes->forget(**inode, 1);
    return reply.error(file.code());
  }
  const auto entry = entry_of(filesystem, **inode, attributes);
  const kernel::OpenReplyScope scope(describe(filesystem, **file, **inode, request, info));
  reply.count_sent();
  if (fuse_reply_create(request, &entry, info) != 0) {
    remove_file(filesystem, *file);
    filesystem.inodes->forget(**inode, 1);
  }
}

void release(Filesystem& filesystem, fuse_req_t request, fuse_ino_t node, fuse_file_info* info) {
  if (Control::is_control(node)) return filesystem.control.release(request, info);
  remove_file(filesystem, &file_of(info));
  Reply(filesystem, request, Operation::release).error(0);
}

}  // namespace

void add_open_operations(fuse_lowlevel_ops& table) {
  table.open = Guarded<open>::call;
  table.create = Guarded<create>::call;
  table.release = Guarded<release>::call;
}

}  // namespace alignfs
