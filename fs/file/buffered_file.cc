#include "alignfs/file/buffered_file.h"

#include "alignfs/io/probe.h"

namespace alignfs {

Result<std::unique_ptr<File>> BufferedFile::open(const FileServices& services, Inode& inode,
                                                 std::shared_ptr<OpenInode> shared, UniqueFd fd) {
  return std::unique_ptr<File>(new BufferedFile(services, inode, std::move(shared), std::move(fd)));
}

Task<Result<File::ReadData>> BufferedFile::read(IoRequest request) {
  auto account = account_of(request, Direction::read);
  ReadData data;
  std::byte* into = request.room.data();
  if (request.length > request.room.size()) {
    data.lease = co_await services_.buffers_for(request.length).lease();
    into = data.lease.data();
  }
  const auto filled = fill(request, {into, request.length});
  if (!filled) co_return filled.error();
  data.bytes = {into, filled->bytes};
  auto& traffic = account.traffic;
  traffic.bytes = traffic.backing_read = traffic.page_cache = filled->bytes;
  account.outcome = filled->fell_back ? Outcome::fallback : Outcome::ok;
  co_return data;
}

Task<Result<std::size_t>> BufferedFile::write(IoRequest request, std::span<const std::byte> data) {
  auto account = account_of(request, Direction::write);
  request.durability = at_least(request.durability);
  // One call on the backing, which keeps it whole against others as that filesystem does: nothing
  // is locked here. The kernel's idea of an append's offset may be stale: the end of file is found
  // with the write.
  const auto written = write_fully(fd(), data, request.offset, 1, request.durability,
                                   request.append ? Place::at_end : Place::at_offset);
  if (!written) co_return written.error();
  auto& traffic = account.traffic;
  traffic.bytes = traffic.backing_write = traffic.page_cache = *written;
  account.outcome = Outcome::ok;
  co_return written;
}

bool BufferedFile::takes_direct_io() const { return accepts_direct_io(fd()); }

Result<BufferedFile::Filled> BufferedFile::fill(const IoRequest& request,
                                                std::span<std::byte> into) {
  const auto got = read_fully(fd(), into, request.offset, 1);
  if (!got) return got.error();
  return Filled{*got};
}

}  // namespace alignfs
