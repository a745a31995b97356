#include "alignfs/file/mapped_file.h"

#include <fcntl.h>

#include <algorithm>

#include "alignfs/io/fault_guard.h"

namespace alignfs {

MappedFile::MappedFile(const FileServices& services, Mapper& mapper, Inode& inode,
                       std::shared_ptr<OpenInode> shared, UniqueFd backing)
    : BufferedFile(services, inode, std::move(shared), std::move(backing)),
      mapper_(mapper),
      counts_as_access_((::fcntl(fd(), F_GETFL) & O_NOATIME) == 0) {}

Result<std::unique_ptr<File>> MappedFile::open(const FileServices& services, Mapper& mapper,
                                               Inode& inode, std::shared_ptr<OpenInode> shared,
                                               UniqueFd fd) {
  return std::unique_ptr<File>(
      new MappedFile(services, mapper, inode, std::move(shared), std::move(fd)));
}

std::shared_ptr<const Mapping> MappedFile::mapping(std::uint64_t size, const Requester& requester) {
  int error = 0;
  auto found = shared_->mapped.mapping(mapper_, shared_->anchor.get(), size, &error);
  if (error != 0) {
    services_.observer.fallback(fallback_for(error),
                                fragment_of({.requester = requester}, Direction::read), {});
  }
  return found;
}

/// The size is looked at before the copy, as the kernel does before its own. What is cut off
/// meanwhile shows as zeroes up to the end of its page, and behind that the copy stops.
Result<BufferedFile::Filled> MappedFile::fill(const IoRequest& request, std::span<std::byte> into) {
  const auto now = attributes();
  if (!now) return now.error();
  const auto size = std::uint64_t(now->st_size);
  std::size_t done = 0;
  if (request.offset < size) {
    const auto map = mapping(size, request.requester);
    const auto reach = std::min(size, map ? map->length() : 0);
    if (request.offset < reach) {
      const auto wanted = std::min<std::uint64_t>(into.size(), reach - request.offset);
      // A mapping moves the access time when it is made alone. One byte read does what a read of
      // all of them would.
      if (counts_as_access_ && shared_->mapped.access_due()) {
        std::byte first;
        [[maybe_unused]] const auto got = read_fully(fd(), {&first, 1}, request.offset, 1);
      }
      done = copy_guarded(into.data(), map->data() + request.offset, wanted);
      if (done == into.size() || request.offset + done == size) return Filled{done};
    }
  }
  // At and behind the end of file, too: some files hold more than their size says.
  IoRequest rest = request;
  rest.offset += done;
  const auto more = BufferedFile::fill(rest, into.subspan(done));
  if (!more && done == 0) return more.error();
  const auto bytes = more ? more->bytes : 0;
  return Filled{done + bytes, bytes != 0};
}

}  // namespace alignfs
