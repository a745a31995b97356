#include "alignfs/file/mapped_file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>

#include "alignfs/io/fault_guard.h"

namespace alignfs {
namespace {

/// True on filesystems where the first store into a page takes room for it, and fails if there is
/// none. Elsewhere (NFS, FUSE) a page may find no room when it is written back, long after the
/// write was acknowledged: writes go by pwrite there.
bool stores_reserve_room(int fd) {
  constexpr unsigned kF2fs = 0xf2f52010;      // F2FS_SUPER_MAGIC
  constexpr unsigned kBcachefs = 0xca451a4e;  // BCACHEFS_SUPER_MAGIC
  constexpr unsigned kReserving[] = {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC,       BTRFS_SUPER_MAGIC,
                                     TMPFS_MAGIC,      OVERLAYFS_SUPER_MAGIC, kF2fs,
                                     kBcachefs};
  struct statfs figures {};
  return ::fstatfs(fd, &figures) == 0 &&
         std::find(std::begin(kReserving), std::end(kReserving), unsigned(figures.f_type)) !=
             std::end(kReserving);
}

}  // namespace

MappedFile::MappedFile(const FileServices& services, Mapper& mapper, Inode& inode,
                       std::shared_ptr<OpenInode> shared, UniqueFd fd)
    : BufferedFile(services, inode, std::move(shared), std::move(fd)), mapper_(mapper) {
  const int flags = ::fcntl(this->fd(), F_GETFL);
  may_store_ =
      (flags & O_ACCMODE) == O_RDWR && (flags & O_APPEND) == 0 && stores_reserve_room(this->fd());
}

Result<std::unique_ptr<File>> MappedFile::open(const FileServices& services, Mapper& mapper,
                                               Inode& inode, std::shared_ptr<OpenInode> shared,
                                               UniqueFd fd) {
  return std::unique_ptr<File>(
      new MappedFile(services, mapper, inode, std::move(shared), std::move(fd)));
}

Result<std::uint64_t> MappedFile::look_at_size() {
  const auto now = attributes();
  if (!now) return now.error();
  const auto size = std::uint64_t(now->st_size);
  shared_->mapped.know_size(size);
  return size;
}

std::shared_ptr<const Mapping> MappedFile::mapping(std::uint64_t size, bool writable,
                                                   const Requester& requester) {
  int error = 0;
  auto found = shared_->mapped.mapping(mapper_, fd(), size, writable, &error);
  if (!found && error != 0) {
    const auto reason = error == ENFILE || error == ENOMEM || error == EAGAIN
                            ? Fallback::mapping_limit
                            : Fallback::unmappable;
    services_.observer.fallback(reason, fragment_of({.requester = requester}, Direction::read), {});
  }
  return found;
}

/// The size is looked at after the copy: what lay below it then was the file's when it was copied.
/// Before, only the hint is looked at, which says how far a copy is worth trying.
Result<BufferedFile::Moved> MappedFile::move_in(const IoRequest& request,
                                                std::span<std::byte> into) {
  auto end = shared_->mapped.known_size();
  if (request.offset + into.size() > end) {
    const auto size = look_at_size();
    if (!size) return size.error();
    end = *size;
  }
  std::size_t done = 0;
  if (request.offset < end) {
    const auto map = mapping(end, false, request.requester);
    const auto reach = std::min(end, map ? map->length() : 0);
    if (request.offset < reach) {
      const auto wanted = std::min<std::uint64_t>(into.size(), reach - request.offset);
      done = copy_guarded(into.data(), map->data() + request.offset, wanted);
      const auto size = look_at_size();
      if (!size) return size.error();
      const auto left = *size - std::min(*size, request.offset);
      if (left <= done || (done == wanted && request.offset + done == *size)) {
        // The file ends here.
        if (left != 0) return Moved{std::min<std::size_t>(done, left)};
        done = 0;
      }
      if (done == into.size()) return Moved{done};
    }
  }
  // At and behind the end of file, too: some files hold more than their size says.
  auto rest = BufferedFile::move_in(
      {.offset = request.offset + done, .requester = request.requester}, into.subspan(done));
  if (!rest && done == 0) return rest.error();
  const auto more = rest ? rest->bytes : 0;
  return Moved{done + more, more != 0};
}

Result<BufferedFile::Moved> MappedFile::move_out(const IoRequest& request,
                                                 std::span<const std::byte> data) {
  const auto by_pwrite = [&](std::size_t done, bool fell_back) -> Result<Moved> {
    IoRequest rest = request;
    rest.offset += done;
    const auto put = BufferedFile::move_out(rest, data.subspan(done));
    if (!put && done == 0) return put.error();
    return Moved{done + (put ? put->bytes : 0), fell_back};
  };
  // pwritev2 makes the written range durable; fdatasync would have to wait for the whole file.
  if (!may_store_ || request.append || request.durability != Durability::none || data.empty()) {
    return by_pwrite(0, false);
  }
  const auto end = request.offset + data.size();
  if (end > shared_->mapped.known_size()) {
    const auto size = look_at_size();
    if (!size) return size.error();
    if (end > *size) {
      const auto grown = by_pwrite(0, false);
      if (grown) shared_->mapped.know_size(std::max(*size, request.offset + grown->bytes));
      return grown;
    }
  }
  const auto map = mapping(shared_->mapped.known_size(), true, request.requester);
  if (!map || !map->writable() || end > map->length()) return by_pwrite(0, true);

  // A store moves no times on a page that is dirty already, and takes no privileges away. One byte
  // written does what a write of all of them would, for watchers of the file as well.
  if (shared_->mapped.stamp_due() && !BufferedFile::move_out(request, data.first(1))) {
    return by_pwrite(0, true);
  }
  const auto stored = copy_guarded(map->data() + request.offset, data.data(), data.size());
  const auto size = look_at_size();
  if (!size) return size.error();
  // Cut short meanwhile: a store behind the end of file is lost without a fault as long as the page
  // is there, and a write would have made the file longer again.
  if (end > *size) return by_pwrite(0, true);
  if (stored < data.size()) return by_pwrite(stored, true);
  return Moved{stored};
}

}  // namespace alignfs
