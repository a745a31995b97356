// Extended attributes: the backing's own, POSIX ACLs among them, and user.alignfs.*.

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstring>
#include <string_view>

#include "alignfs/fuse/operations.h"
#include "alignfs/io/filesystem_kind.h"
#include "alignfs/io/probe.h"

namespace alignfs {
namespace {

constexpr std::string_view kPrefix = "user.alignfs.";

/// Answers with `value` the way getxattr(2) and listxattr(2) do: its size where none is asked for.
void send_value(Reply reply, std::string_view value, std::size_t size) {
  if (size == 0) {
    reply.count_sent();
    fuse_reply_xattr(reply.request(), value.size());
  } else if (value.size() > size) {
    reply.error(ERANGE);
  } else {
    reply.data(value.data(), value.size());
  }
}

/// The geometry that an open of `inode` would find; of a directory, that of files made in it.
Result<Geometry> geometry_of(Filesystem& filesystem, const Inode& inode) {
  const bool directory = S_ISDIR(inode.type());
  if (!directory && !S_ISREG(inode.type())) return Error{ENODATA, "geometry of a special file"};
  auto fd = filesystem.inodes->reopen(inode, O_RDONLY | (directory ? O_DIRECTORY : 0));
  if (!fd) return fd.error();
  const auto backing = directory ? probe_directory(fd->get()) : enable_direct_io(fd->get());
  if (!backing) return backing.error();
  return make_geometry(*backing, filesystem.options.alignment);
}

/// True if reads and writes of the file do not come to the daemon.
bool is_passed_through(Filesystem& filesystem, const Inode& inode) {
  if (!filesystem.options.passthrough || !filesystem.features.passthrough) return false;
  const auto open = filesystem.inodes->find_open(inode);
  return !open || kernel::is_backing_file(*open);
}

Result<std::string> alignment_text(Filesystem& filesystem, const Inode& inode) {
  if (filesystem.options.mode != MountOptions::Mode::direct &&
      !is_passed_through(filesystem, inode)) {
    return std::string("mem=1 offset=1 read_offset=1 source=mode direct_io=unused");
  }
  const auto geometry = geometry_of(filesystem, inode);
  if (!geometry) return geometry.error();
  const auto& judged = geometry->judged;
  return fmt::format("mem={} offset={} read_offset={} source={} direct_io={}", judged.memory.bytes,
                     judged.write.bytes, judged.read.bytes, name_of(judged.write.source),
                     name_of(geometry->verdict));
}

std::string direct_mode_text(const Geometry& geometry) {
  switch (geometry.verdict) {
    case Verdict::native: return "direct";
    case Verdict::unproven: return "direct, unproven: the backing may use the page cache";
    case Verdict::refused: return "buffered: the backing refuses O_DIRECT";
  }
  return {};
}

/// What the file does while it is open; of others, what the mode says.
Result<std::string> mapped_mode_text(Filesystem& filesystem, const Inode& inode) {
  const auto path = filesystem.inodes->path_of(inode);
  if (!path) return path.error();
  const auto open = filesystem.inodes->find_open(inode);
  const int error = open ? open->mapped.error() : 0;
  if (error == ENODEV || !is_local_disk_filesystem(path->get())) {
    return std::string("buffered: files like this one are not mapped");
  }
  if (error == 0) return std::string("mapped");
  return std::string(fallback_for(error) == Fallback::mapping_limit
                         ? "mapped, in part: as much is mapped as may be at one time"
                         : "mapped, in part or not at all: it could not be mapped for now");
}

Result<std::string> mode_text(Filesystem& filesystem, const Inode& inode) {
  if (filesystem.options.mode == MountOptions::Mode::direct) {
    const auto geometry = geometry_of(filesystem, inode);
    if (!geometry) return geometry.error();
    return direct_mode_text(*geometry);
  }
  if (!S_ISDIR(inode.type()) && !S_ISREG(inode.type())) {
    return Error{ENODATA, "mode of a special file"};
  }
  if (is_passed_through(filesystem, inode)) return std::string("passthrough");
  if (filesystem.options.mode == MountOptions::Mode::buffered) return std::string("buffered");
  return mapped_mode_text(filesystem, inode);
}

void get_own_xattr(Reply reply, const Inode& inode, std::string_view name, std::size_t size) {
  auto& filesystem = reply.filesystem();
  const auto what = name.substr(kPrefix.size());
  if (what == "last_error") {
    const uid_t uid = fuse_req_ctx(reply.request())->uid;
    const bool sees_all = uid == 0 || uid == ::getuid();
    const auto text = filesystem.reporter.last_errors().find(inode.id(), uid, sees_all);
    return text ? send_value(reply, *text, size) : reply.error(ENODATA);
  }
  if (what != "alignment" && what != "mode") return reply.error(ENODATA);
  const auto text =
      what == "mode" ? mode_text(filesystem, inode) : alignment_text(filesystem, inode);
  if (!text) return reply.error(text.code());
  send_value(reply, *text, size);
}

bool is_own(const Filesystem& filesystem, std::string_view name) {
  return filesystem.options.control && name.starts_with(kPrefix);
}

void getxattr(Filesystem& filesystem, fuse_req_t request, fuse_ino_t node, const char* name,
              std::size_t size) {
  Reply reply(filesystem, request, Operation::xattr);
  if (Control::is_control(node)) return reply.error(ENODATA);
  const auto& inode = inode_of(filesystem, node);
  if (is_own(filesystem, name)) return get_own_xattr(reply, inode, name, size);
  const auto path = filesystem.inodes->path_of(inode);
  if (!path) return reply.error(path.code());
  std::string value(size, '\0');
  const ssize_t length = ::getxattr(ProcPath(path->get()).c_str(), name, value.data(), size);
  if (length < 0) return reply.error(errno);
  if (size != 0) return reply.data(value.data(), std::size_t(length));
  reply.count_sent();
  fuse_reply_xattr(request, std::size_t(length));
}

void listxattr(Filesystem& filesystem, fuse_req_t request, fuse_ino_t node, std::size_t size) {
  Reply reply(filesystem, request, Operation::xattr);
  if (Control::is_control(node)) return send_value(reply, "", size);
  const auto path = filesystem.inodes->path_of(inode_of(filesystem, node));
  if (!path) return reply.error(path.code());
  std::string names(size, '\0');
  const ssize_t length = ::listxattr(ProcPath(path->get()).c_str(), names.data(), size);
  if (length < 0) return reply.error(errno);
  if (size != 0) return reply.data(names.data(), std::size_t(length));
  reply.count_sent();
  fuse_reply_xattr(request, std::size_t(length));
}

void setxattr(Filesystem& filesystem, fuse_req_t request, fuse_ino_t node, const char* name,
              const char* value, std::size_t size, int flags) {
  Reply reply(filesystem, request, Operation::xattr);
  if (Control::is_control(node) || is_own(filesystem, name)) return reply.error(EPERM);
  const auto path = filesystem.inodes->path_of(inode_of(filesystem, node));
  if (!path) return reply.error(path.code());
  const ProcPath file(path->get());
  if (::setxattr(file.c_str(), name, value, size, flags) != 0) return reply.error(errno);
  struct stat attributes {};
  // The backing would keep the bit: the daemon may have files of any group setgid.
  if (kernel::current_request().acl_kills_sgid && ::fstat(path->get(), &attributes) == 0 &&
      (attributes.st_mode & S_ISGID) != 0 &&
      ::chmod(file.c_str(), attributes.st_mode & 07777 & ~mode_t(S_ISGID)) != 0) {
    return reply.error(errno);
  }
  reply.error(0);
}

void removexattr(Filesystem& filesystem, fuse_req_t request, fuse_ino_t node, const char* name) {
  Reply reply(filesystem, request, Operation::xattr);
  if (Control::is_control(node) || is_own(filesystem, name)) return reply.error(EPERM);
  const auto path = filesystem.inodes->path_of(inode_of(filesystem, node));
  if (!path) return reply.error(path.code());
  reply.error(::removexattr(ProcPath(path->get()).c_str(), name) == 0 ? 0 : errno);
}

}  // namespace

void add_xattr_operations(fuse_lowlevel_ops& table) {
  table.getxattr = Guarded<getxattr>::call;
  table.listxattr = Guarded<listxattr>::call;
  table.setxattr = Guarded<setxattr>::call;
  table.removexattr = Guarded<removexattr>::call;
}

}  // namespace alignfs
