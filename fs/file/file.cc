#include "alignfs/file/file.h"

#include <fcntl.h>
#include <unistd.h>

namespace alignfs {

Fragment File::fragment_of(const IoRequest& request, Direction direction) const {
  return {direction, request.offset, request.length, request.requester, inode_.id(), fd()};
}

Result<struct stat> File::attributes() const {
  struct stat attributes {};
  if (::fstat(fd(), &attributes) != 0) return last_error("stat the backing file");
  return attributes;
}

Status File::sync(bool data_only) {
  if ((data_only ? ::fdatasync(fd()) : ::fsync(fd())) != 0) {
    return last_error("sync the backing file");
  }
  return {};
}

Status File::sync_if_asked() {
  if (services_.durability == Durability::none) return {};
  return sync(services_.durability == Durability::data);
}

Status File::flush() {
  UniqueFd copy(::fcntl(fd(), F_DUPFD_CLOEXEC, 0));
  if (copy && ::close(copy.release()) != 0) return last_error("flush the backing file");
  return {};
}

}  // namespace alignfs
