#include "alignfs/io/transfer.h"

#include <sys/uio.h>
#include <unistd.h>

#include "alignfs/base/alignment.h"

namespace alignfs {
namespace {

int flags_for(Durability durability, Place place) {
  const int append = place == Place::at_end ? RWF_APPEND : 0;
  switch (durability) {
    case Durability::none: return append;
    case Durability::data: return append | RWF_DSYNC;
    case Durability::file: break;
  }
  return append | RWF_SYNC;
}

}  // namespace

Result<std::size_t> read_fully(int fd, std::span<std::byte> buffer, std::uint64_t offset,
                               std::uint32_t block) {
  std::size_t done = 0;
  while (done < buffer.size()) {
    const ssize_t got =
        ::pread(fd, buffer.data() + done, buffer.size() - done, off_t(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && done == 0) return last_error("read the backing file");
    if (got <= 0) break;
    done += std::size_t(got);
    if (!is_aligned(done, block)) break;
  }
  return done;
}

Result<std::size_t> write_fully(int fd, std::span<const std::byte> data, std::uint64_t offset,
                                std::uint32_t block, Durability durability, Place place) {
  const int flags = flags_for(durability, place);
  std::size_t done = 0;
  while (done < data.size()) {
    // The kernel reads from the buffer only; iovec has no const form.
    iovec part{const_cast<std::byte*>(data.data()) + done, data.size() - done};
    const ssize_t put = ::pwritev2(fd, &part, 1, off_t(offset + done), flags);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && done == 0) return last_error("write the backing file");
    if (put <= 0) break;
    done += std::size_t(put);
    if (!is_aligned(done, block)) break;
  }
  if (done == 0 && !data.empty()) return Error{EIO, "write the backing file: nothing written"};
  return done;
}

}  // namespace alignfs
