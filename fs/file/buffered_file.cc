#include "alignfs/file/buffered_file.h"

#include "alignfs/io/probe.h"

namespace alignfs {

BufferedFile::BufferedFile(const FileServices& services, Inode& inode,
                           std::shared_ptr<OpenInode> shared, UniqueFd fd)
    : File(services, inode, std::move(shared), std::move(fd)),
      takes_direct_io_(accepts_direct_io(this->fd())) {}

Result<std::unique_ptr<File>> BufferedFile::open(const FileServices& services, Inode& inode,
                                                 std::shared_ptr<OpenInode> shared, UniqueFd fd) {
  return std::unique_ptr<File>(new BufferedFile(services, inode, std::move(shared), std::move(fd)));
}

Result<File::ReadData> BufferedFile::read(const IoRequest& request) {
  ReadData data{services_.buffers.acquire(), {}};
  const auto moved = move_in(request, {data.lease.data(), request.length});
  if (!moved) {
    services_.counters.add(Operation::read, Outcome::error, {.requests = 1});
    return moved.error();
  }
  data.bytes = {data.lease.data(), moved->bytes};
  services_.counters.add(Operation::read, moved->fell_back ? Outcome::fallback : Outcome::ok,
                         {.requests = 1, .bytes = moved->bytes, .backing_read = moved->bytes});
  return data;
}

Task<Result<std::size_t>> BufferedFile::write(IoRequest request, std::span<const std::byte> data) {
  request.durability = durability_of(request.durability);
  // Calls on one file are whole against each other, as on the backing; those that do not touch need
  // not wait.
  const Range range{request.offset, request.offset + request.length};
  RangeLock::Hold hold(shared_->lock, request.append ? RangeLock::kWholeFile : range, true);
  co_await hold;
  const auto moved = move_out(request, data);
  if (!moved) {
    services_.counters.add(Operation::write, Outcome::error, {.requests = 1});
    co_return moved.error();
  }
  services_.counters.add(Operation::write, moved->fell_back ? Outcome::fallback : Outcome::ok,
                         {.requests = 1, .bytes = moved->bytes, .backing_write = moved->bytes});
  co_return moved->bytes;
}

Result<BufferedFile::Moved> BufferedFile::move_in(const IoRequest& request,
                                                  std::span<std::byte> into) {
  const auto got = read_fully(fd(), into, request.offset, 1);
  if (!got) return got.error();
  return Moved{*got};
}

Result<BufferedFile::Moved> BufferedFile::move_out(const IoRequest& request,
                                                   std::span<const std::byte> data) {
  // The kernel's idea of an append's offset may be stale: the end of file is found with the write.
  const auto put = write_fully(fd(), data, request.offset, 1, request.durability,
                               request.append ? Place::at_end : Place::at_offset);
  if (!put) return put.error();
  return Moved{*put};
}

}  // namespace alignfs
