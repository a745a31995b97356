#include "alignfs/file/resize.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace alignfs {

Task<Status> resize(OpenInode& inode, int fd, std::uint64_t size) {
  RangeLock::Hold hold(inode.lock, RangeLock::kWholeFile, true);
  co_await hold;
  if (::ftruncate(fd, off_t(size)) != 0) co_return last_error("truncate");
  co_return Status{};
}

Task<Status> allocate(File& file, int mode, std::uint64_t offset, std::uint64_t length) {
  {
    RangeLock::Hold hold(file.shared()->lock, RangeLock::kWholeFile, true);
    co_await hold;
    int result = 0;
    do {
      result = ::fallocate(file.fd(), mode, off_t(offset), off_t(length));
    } while (result != 0 && errno == EINTR);
    if (result != 0) co_return last_error("fallocate");
  }
  co_return file.sync_if_asked();
}

namespace {

Task<bool> clone_range(File& from, File& to, file_clone_range range) {
  RangeLock::Hold hold(to.shared()->lock, RangeLock::kWholeFile, true);
  co_await hold;
  range.src_fd = from.fd();
  co_return ::ioctl(to.fd(), FICLONERANGE, &range) == 0;
}

}  // namespace

Task<Result<std::size_t>> copy_range(File& from, std::uint64_t from_offset, File& to,
                                     std::uint64_t to_offset, std::uint64_t length,
                                     BufferPool& buffers) {
  const auto buffer = co_await buffers.lease();
  const auto cloned = std::min(length, kCloneChunk);
  if (length != 0 && co_await clone_range(from, to, {0, from_offset, cloned, to_offset})) {
    if (const auto synced = to.sync_if_asked(); !synced) co_return synced.error();
    co_return std::size_t(cloned);
  }
  // Ranges that overlap within a file were refused by the kernel before the request came here.
  const std::uint64_t limit = std::min(length, kCopyChunk);
  std::size_t done = 0;
  while (done < limit) {
    IoRequest request{.offset = from_offset + done,
                      .length = std::min<std::uint64_t>(limit - done, buffers.buffer_size()),
                      .requester = {},
                      .internal = true};
    {
      const auto piece = co_await from.read(request);
      if (!piece && done == 0) co_return piece.error();
      if (!piece || piece->bytes.empty()) break;
      std::memcpy(buffer.data(), piece->bytes.data(), piece->bytes.size());
      request.length = piece->bytes.size();
    }
    request.offset = to_offset + done;
    const auto written = co_await to.write(request, {buffer.data(), request.length});
    if (!written && done == 0) co_return written.error();
    if (!written) break;
    done += *written;
    if (*written < request.length) break;
  }
  co_return done;
}

}  // namespace alignfs
