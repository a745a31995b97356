// Directories: opendir, readdir, readdirplus, fsyncdir, releasedir.

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "alignfs/fuse/operations.h"

namespace alignfs {
namespace {

/// An open directory. Offsets are the backing's own cookies, so that telldir and seekdir are as
/// stable as they are there. Requests on one handle may run side by side; each holds `mutex`.
struct OpenDirectory {
  explicit OpenDirectory(UniqueFd descriptor) : fd(std::move(descriptor)) {}

  /// The entry at `offset`, read ahead in batches; null at the end or on an error, which is left in
  /// `error`. The same entry is given again until pass() goes beyond it.
  const dirent64* at(off_t offset, int& error);
  void pass(const dirent64& entry);

  const UniqueFd fd;
  std::mutex mutex;

 private:
  alignas(dirent64) std::array<char, 32 * 1024> buffer_{};
  std::size_t filled_ = 0;
  std::size_t used_ = 0;
  off_t position_ = 0;
};

const dirent64* OpenDirectory::at(off_t offset, int& error) {
  // A listing that starts anew must see the directory as it is now.
  if (offset != position_ || offset == 0) {
    filled_ = used_ = 0;
    position_ = ::lseek(fd.get(), offset, SEEK_SET);
    if (position_ != offset) {
      error = errno;
      return nullptr;
    }
  }
  if (used_ == filled_) {
    filled_ = used_ = 0;
    const long got = ::syscall(SYS_getdents64, fd.get(), buffer_.data(), buffer_.size());
    if (got < 0) error = errno;
    if (got <= 0) return nullptr;
    filled_ = std::size_t(got);
  }
  return reinterpret_cast<const dirent64*>(buffer_.data() + used_);
}

void OpenDirectory::pass(const dirent64& entry) {
  used_ += entry.d_reclen;
  position_ = entry.d_off;
}

OpenDirectory& directory_of(const fuse_file_info* info) {
  return *reinterpret_cast<OpenDirectory*>(info->fh);
}

void forget_directory(Filesystem& filesystem, OpenDirectory& directory) {
  // Closed without the lock, which everybody needs who opens or closes.
  decltype(filesystem.directories)::node_type last;
  const std::lock_guard guard(filesystem.files_mutex);
  last = filesystem.directories.extract(&directory);
}

void opendir(Filesystem& filesystem, fuse_req_t request, fuse_ino_t node, fuse_file_info* info) {
  if (Control::is_control(node)) return filesystem.control.open_directory(request, info);
  Reply reply(filesystem, request, Operation::open);
  const auto& inode = inode_of(filesystem, node);
  constexpr int kFlags = O_RDONLY | O_DIRECTORY;
  const int no_atime = filesystem.options.keeps_atime() ? O_NOATIME : 0;
  auto fd = filesystem.inodes->reopen(inode, kFlags | no_atime);
  if (fd.code() == EPERM && no_atime != 0) fd = filesystem.inodes->reopen(inode, kFlags);
  if (!fd) return reply.error(fd.code());
  const auto directory = std::make_shared<OpenDirectory>(*std::move(fd));
  info->fh = reinterpret_cast<std::uint64_t>(directory.get());
  {
    const std::lock_guard guard(filesystem.files_mutex);
    filesystem.directories.emplace(directory.get(), directory);
  }
  reply.count_sent();
  if (fuse_reply_open(request, info) != 0) forget_directory(filesystem, *directory);
}

/// Adds one entry to a reply: bytes needed, and nothing added if that is more than there is room.
std::size_t add_entry(Filesystem& filesystem, fuse_req_t request, Inode& directory,
                      const dirent64& entry, std::span<char> room, bool plus) {
  fuse_entry_param parameters{};
  parameters.attr.st_ino = entry.d_ino;
  parameters.attr.st_mode = mode_t(DTTOIF(entry.d_type));
  if (!plus) {
    return fuse_add_direntry(request, room.data(), room.size(), entry.d_name, &parameters.attr,
                             entry.d_off);
  }
  const auto need = fuse_add_direntry_plus(request, nullptr, 0, entry.d_name, nullptr, entry.d_off);
  if (need > room.size()) return need;
  const bool dots = std::strcmp(entry.d_name, ".") == 0 || std::strcmp(entry.d_name, "..") == 0;
  if (!dots) {
    struct stat attributes {};
    const auto inode = filesystem.inodes->look_up(directory, entry.d_name, &attributes);
    // A name that is gone meanwhile is listed without attributes: node 0 means "not looked up".
    if (inode) parameters = entry_of(filesystem, **inode, attributes);
  }
  return fuse_add_direntry_plus(request, room.data(), room.size(), entry.d_name, &parameters,
                                entry.d_off);
}

/// The listing from `offset` on, as much as fits in `size` bytes; an error only if that is nothing.
Result<std::string> list(Filesystem& filesystem, fuse_req_t request, fuse_ino_t node,
                         OpenDirectory& directory, std::size_t size, off_t offset, bool plus) {
  auto& inode = inode_of(filesystem, node);
  std::string answer(size, '\0');
  std::size_t used = 0;
  int error = 0;
  const std::lock_guard guard(directory.mutex);
  while (const auto* entry = directory.at(offset, error)) {
    if (!filesystem.control.reserves(node, entry->d_name)) {
      const auto need =
          add_entry(filesystem, request, inode, *entry, {answer.data() + used, size - used}, plus);
      if (need > size - used) break;
      used += need;
    }
    offset = entry->d_off;
    directory.pass(*entry);
  }
  if (error != 0 && used == 0) return Error{error, "list a directory"};
  answer.resize(used);
  return answer;
}

/// Answers after list() has let go of the directory: the answer may be followed at once by the
/// request that releases it, on another worker.
void list_and_reply(Filesystem& filesystem, fuse_req_t request, fuse_ino_t node, std::size_t size,
                    off_t offset, const fuse_file_info* info, bool plus) {
  Reply reply(filesystem, request, Operation::readdir);
  const auto listing = list(filesystem, request, node, directory_of(info), size, offset, plus);
  if (!listing) return reply.error(listing.code());
  reply.data(listing->data(), listing->size());
}

void readdir(Filesystem& filesystem, fuse_req_t request, fuse_ino_t node, std::size_t size,
             off_t offset, fuse_file_info* info) {
  if (Control::is_control(node))
    return filesystem.control.read_directory(request, size, offset, false);
  list_and_reply(filesystem, request, node, size, offset, info, false);
}

void readdirplus(Filesystem& filesystem, fuse_req_t request, fuse_ino_t node, std::size_t size,
                 off_t offset, fuse_file_info* info) {
  if (Control::is_control(node))
    return filesystem.control.read_directory(request, size, offset, true);
  list_and_reply(filesystem, request, node, size, offset, info, true);
}

void fsyncdir(Filesystem& filesystem, fuse_req_t request, fuse_ino_t node, int data_only,
              fuse_file_info* info) {
  Reply reply(filesystem, request, Operation::fsync);
  if (Control::is_control(node)) return reply.error(0);
  const int fd = directory_of(info).fd.get();
  reply.error((data_only != 0 ? ::fdatasync(fd) : ::fsync(fd)) == 0 ? 0 : errno);
}

void releasedir(Filesystem& filesystem, fuse_req_t request, fuse_ino_t node, fuse_file_info* info) {
  Reply reply(filesystem, request, Operation::release);
  if (!Control::is_control(node)) forget_directory(filesystem, directory_of(info));
  reply.error(0);
}

}  // namespace

void add_directory_operations(fuse_lowlevel_ops& table) {
  table.opendir = Guarded<opendir>::call;
  table.readdir = Guarded<readdir>::call;
  table.readdirplus = Guarded<readdirplus>::call;
  table.fsyncdir = Guarded<fsyncdir>::call;
  table.releasedir = Guarded<releasedir>::call;
}

}  // namespace alignfs
