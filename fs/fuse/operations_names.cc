// Names: lookup, mkdir, mknod, symlink, link, unlink, rmdir, rename.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alignfs/fuse/credentials.h"
#include "alignfs/fuse/operations.h"

namespace alignfs {
namespace {

/// True, and answered, if `parent` or `name` belongs to the control directory.
bool refuses(const Reply& reply, fuse_ino_t parent, const char* name) {
  const auto& control = reply.filesystem().control;
  if (!Control::is_control(parent) && !control.reserves(parent, name)) return false;
  Reply(reply).error(EPERM);
  return true;
}

void lookup(Filesystem& filesystem, fuse_req_t request, fuse_ino_t parent, const char* name) {
  if (Control::is_control(parent) || filesystem.control.reserves(parent, name)) {
    return filesystem.control.look_up(request, parent, name);
  }
  Reply reply(filesystem, request, Operation::lookup);
  struct stat attributes {};
  const auto inode = filesystem.inodes->look_up(inode_of(filesystem, parent), name, &attributes);
  if (!inode) return reply.error(inode.code());
  reply.entry(**inode, attributes);
}

/// Runs `make(directory descriptor)` as the caller, then answers with what stands at `name`.
template <typename Make>
void make_and_reply(Reply reply, fuse_ino_t parent, const char* name, Make make) {
  if (refuses(reply, parent, name)) return;
  auto& filesystem = reply.filesystem();
  auto& directory = inode_of(filesystem, parent);
  const auto path = filesystem.inodes->path_of(directory);
  if (!path) return reply.error(path.code());
  {
    const auto* caller = fuse_req_ctx(reply.request());
    const CallerCredentials credentials(caller->uid, caller->gid, caller->umask);
    if (make(path->get()) != 0) return reply.error(errno);
  }
  struct stat attributes {};
  const auto inode = filesystem.inodes->look_up(directory, name, &attributes);
  if (!inode) return reply.error(inode.code());
  filesystem.reporter.forget_errors((*inode)->id());
  reply.entry(**inode, attributes);
}

void mkdir(Filesystem& filesystem, fuse_req_t request, fuse_ino_t parent, const char* name,
           mode_t mode) {
  make_and_reply(Reply(filesystem, request, Operation::mkdir), parent, name,
                 [&](int directory) { return ::mkdirat(directory, name, mode); });
}

void mknod(Filesystem& filesystem, fuse_req_t request, fuse_ino_t parent, const char* name,
           mode_t mode, dev_t device) {
  make_and_reply(Reply(filesystem, request, Operation::mknod), parent, name,
                 [&](int directory) { return ::mknodat(directory, name, mode, device); });
}

void symlink(Filesystem& filesystem, fuse_req_t request, const char* target, fuse_ino_t parent,
             const char* name) {
  make_and_reply(Reply(filesystem, request, Operation::symlink), parent, name,
                 [&](int directory) { return ::symlinkat(target, directory, name); });
}

void link(Filesystem& filesystem, fuse_req_t request, fuse_ino_t node, fuse_ino_t parent,
          const char* name) {
  Reply reply(filesystem, request, Operation::link);
  if (Control::is_control(node)) return reply.error(EPERM);
  if (refuses(reply, parent, name)) return;
  auto& inode = inode_of(filesystem, node);
  const auto from = filesystem.inodes->path_of(inode);
  if (!from) return reply.error(from.code());
  const auto into = filesystem.inodes->path_of(inode_of(filesystem, parent));
  if (!into) return reply.error(into.code());
  // AT_EMPTY_PATH would need CAP_DAC_READ_SEARCH; the way through /proc needs nothing.
  if (::linkat(AT_FDCWD, ProcPath(from->get()).c_str(), into->get(), name, AT_SYMLINK_FOLLOW) !=
      0) {
    return reply.error(errno);
  }
  struct stat attributes {};
  if (::fstat(from->get(), &attributes) != 0) return reply.error(errno);
  filesystem.inodes->count_lookup(inode);
  reply.entry(inode, attributes);
}

void remove(Reply reply, fuse_ino_t parent, const char* name, int flags) {
  if (refuses(reply, parent, name)) return;
  auto& filesystem = reply.filesystem();
  const auto path = filesystem.inodes->path_of(inode_of(filesystem, parent));
  if (!path) return reply.error(path.code());
  reply.error(::unlinkat(path->get(), name, flags) == 0 ? 0 : errno);
}

void unlink(Filesystem& filesystem, fuse_req_t request, fuse_ino_t parent, const char* name) {
  remove(Reply(filesystem, request, Operation::unlink), parent, name, 0);
}

void rmdir(Filesystem& filesystem, fuse_req_t request, fuse_ino_t parent, const char* name) {
  remove(Reply(filesystem, request, Operation::unlink), parent, name, AT_REMOVEDIR);
}

void rename(Filesystem& filesystem, fuse_req_t request, fuse_ino_t parent, const char* name,
            fuse_ino_t new_parent, const char* new_name, unsigned flags) {
  Reply reply(filesystem, request, Operation::rename);
  if (refuses(reply, parent, name) || refuses(reply, new_parent, new_name)) return;
  const auto from = filesystem.inodes->path_of(inode_of(filesystem, parent));
  if (!from) return reply.error(from.code());
  const auto into = filesystem.inodes->path_of(inode_of(filesystem, new_parent));
  if (!into) return reply.error(into.code());
  reply.error(::renameat2(from->get(), name, into->get(), new_name, flags) == 0 ? 0 : errno);
}

}  // namespace

void add_name_operations(fuse_lowlevel_ops& table) {
  table.lookup = Guarded<lookup>::call;
  table.mkdir = Guarded<mkdir>::call;
  table.mknod = Guarded<mknod>::call;
  table.symlink = Guarded<symlink>::call;
  table.link = Guarded<link>::call;
  table.unlink = Guarded<unlink>::call;
  table.rmdir = Guarded<rmdir>::call;
  table.rename = Guarded<rename>::call;
}

}  // namespace alignfs
