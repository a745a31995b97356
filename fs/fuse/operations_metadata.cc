// Attributes: getattr, setattr, statfs, readlink, forget.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <climits>

#include "alignfs/file/resize.h"
#include "alignfs/fuse/operations.h"

namespace alignfs {
namespace {

Result<struct stat> stat_inode(Filesystem& filesystem, const Inode& inode) {
  const auto path = filesystem.inodes->path_of(inode);
  if (!path) return path.error();
  struct stat attributes {};
  if (::fstat(path->get(), &attributes) != 0) return last_error("stat");
  return attributes;
}

void getattr(Filesystem& filesystem, fuse_req_t request, fuse_ino_t node, fuse_file_info*) {
  if (Control::is_control(node)) return filesystem.control.get_attributes(request, node);
  Reply reply(filesystem, request, Operation::getattr);
  auto& inode = inode_of(filesystem, node);
  const auto attributes = stat_inode(filesystem, inode);
  if (!attributes) return reply.error(attributes.code());
  reply.attributes(*attributes);
}

timespec time_of(const timespec& given, int to_set, int set, int set_now) {
  if ((to_set & set_now) != 0) return {0, UTIME_NOW};
  if ((to_set & set) == 0) return {0, UTIME_OMIT};
  return given;
}

/// Everything but the size, in the order of the kernel's own notify_change().
Status set_plain_attributes(int path_fd, const struct stat& wanted, int to_set) {
  const ProcPath path(path_fd);
  if ((to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) != 0) {
    const uid_t uid = (to_set & FUSE_SET_ATTR_UID) != 0 ? wanted.st_uid : uid_t(-1);
    const gid_t gid = (to_set & FUSE_SET_ATTR_GID) != 0 ? wanted.st_gid : gid_t(-1);
    if (::fchownat(path_fd, "", uid, gid, AT_EMPTY_PATH) != 0) return last_error("chown");
  }
  if ((to_set & FUSE_SET_ATTR_MODE) != 0 && ::chmod(path.c_str(), wanted.st_mode) != 0) {
    return last_error("chmod");
  }
  constexpr int kTimes =
      FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME_NOW;
  if ((to_set & kTimes) != 0) {
    const timespec times[] = {
        time_of(wanted.st_atim, to_set, FUSE_SET_ATTR_ATIME, FUSE_SET_ATTR_ATIME_NOW),
        time_of(wanted.st_mtim, to_set, FUSE_SET_ATTR_MTIME, FUSE_SET_ATTR_MTIME_NOW)};
    if (::utimensat(path_fd, "", times, AT_EMPTY_PATH) != 0) return last_error("utimensat");
  }
  return {};
}

/// True if `path_fd` has none of the setuid and setgid bits that `wanted` is without.
bool has_lost_suidgid(int path_fd, const struct stat& wanted) {
  struct stat now {};
  if (::fstat(path_fd, &now) != 0) return false;
  return (now.st_mode & ~wanted.st_mode & (S_ISUID | S_ISGID)) == 0;
}

/// The size goes by the inode's lock, which may have to be waited for.
/// `own` only keeps `fd` open where no handle of the program does.
Detached resize_and_reply(Reply reply, Inode& inode, std::shared_ptr<OpenInode> shared,
                          [[maybe_unused]] UniqueFd own, int fd, struct stat wanted, int to_set) {
  auto status =
      co_await without_throwing([&] { return resize(*shared, fd, std::uint64_t(wanted.st_size)); });
  auto& filesystem = reply.filesystem();
  if (status) status = set_plain_attributes(shared->anchor.get(), wanted, to_set);
  // The mode comes along for the sake of these bits alone. A daemon that may not change it has
  // ended them by the new size.
  if (status.code() == EPERM && (to_set & FUSE_SET_ATTR_MODE) != 0 &&
      has_lost_suidgid(shared->anchor.get(), wanted)) {
    status = Status{};
  }
  if (!status) {
    reply.error(status.code());
    co_return;
  }
  const auto attributes = stat_inode(filesystem, inode);
  if (attributes) {
    reply.attributes(*attributes);
  } else {
    reply.error(attributes.code());
  }
}

void setattr(Filesystem& filesystem, fuse_req_t request, fuse_ino_t node, struct stat* wanted,
             int to_set, fuse_file_info* info) {
  Reply reply(filesystem, request, Operation::setattr);
  if (Control::is_control(node)) return reply.error(EPERM);
  auto& inode = inode_of(filesystem, node);

  if ((to_set & FUSE_SET_ATTR_SIZE) != 0) {
    auto shared = filesystem.inodes->open_state(inode);
    if (!shared) return reply.error(shared.code());
    UniqueFd own;
    if (info == nullptr) {
      auto opened = filesystem.inodes->reopen(inode, O_WRONLY);
      if (!opened) return reply.error(opened.code());
      own = *std::move(opened);
    }
    const int fd = info != nullptr ? file_of(info).fd() : own.get();
    resize_and_reply(reply, inode, *std::move(shared), std::move(own), fd, *wanted, to_set);
    return;
  }
  const auto path = filesystem.inodes->path_of(inode);
  if (!path) return reply.error(path.code());
  const auto status = set_plain_attributes(path->get(), *wanted, to_set);
  if (!status) return reply.error(status.code());
  const auto attributes = stat_inode(filesystem, inode);
  if (!attributes) return reply.error(attributes.code());
  reply.attributes(*attributes);
}

void statfs(Filesystem& filesystem, fuse_req_t request, fuse_ino_t node) {
  Reply reply(filesystem, request, Operation::statfs);
  auto& inode = Control::is_control(node) ? filesystem.inodes->root() : inode_of(filesystem, node);
  const auto path = filesystem.inodes->path_of(inode);
  if (!path) return reply.error(path.code());
  struct statvfs figures {};
  if (::fstatvfs(path->get(), &figures) != 0) return reply.error(errno);
  reply.count_sent();
  fuse_reply_statfs(request, &figures);
}

void readlink(Filesystem& filesystem, fuse_req_t request, fuse_ino_t node) {
  Reply reply(filesystem, request, Operation::readlink);
  if (Control::is_control(node)) return reply.error(EINVAL);
  const auto path = filesystem.inodes->path_of(inode_of(filesystem, node));
  if (!path) return reply.error(path.code());
  std::array<char, PATH_MAX + 1> target{};
  const auto length = ::readlinkat(path->get(), "", target.data(), target.size() - 1);
  if (length < 0) return reply.error(errno);
  reply.count_sent();
  fuse_reply_readlink(request, target.data());
}

void forget_node(Filesystem& filesystem, fuse_ino_t node, std::uint64_t count) {
  if (!Control::is_control(node)) {
    filesystem.inodes->forget(inode_of(filesystem, node), count);
  }
}

void forget(Filesystem& filesystem, fuse_req_t request, fuse_ino_t node, std::uint64_t count) {
  forget_node(filesystem, node, count);
  fuse_reply_none(request);
}

void forget_multi(Filesystem& filesystem, fuse_req_t request, std::size_t count,
                  fuse_forget_data* forgets) {
  for (std::size_t i = 0; i < count; ++i) {
    forget_node(filesystem, forgets[i].ino, forgets[i].nlookup);
  }
  fuse_reply_none(request);
}

}  // namespace

void add_metadata_operations(fuse_lowlevel_ops& table) {
  table.getattr = Guarded<getattr>::call;
  table.setattr = Guarded<setattr>::call;
  table.statfs = Guarded<statfs>::call;
  table.readlink = Guarded<readlink>::call;
  table.forget = Guarded<forget>::call;
  table.forget_multi = Guarded<forget_multi>::call;
}

}  // namespace alignfs
