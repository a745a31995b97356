#include "alignfs/io/probe.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "alignfs/base/unique_fd.h"
#include "alignfs/io/buffer_pool.h"

namespace alignfs {
namespace {

// The layout of struct statx (linux/stat.h), spelt out so that a build on older headers still sees
// the newer fields. The kernel fills 256 bytes and leaves what it does not know at zero.
struct RawStatx {
  std::uint32_t mask, blksize;
  std::uint64_t attributes;
  std::uint32_t nlink, uid, gid;
  std::uint16_t mode, spare0;
  std::uint64_t ino, size, blocks, attributes_mask;
  std::uint64_t times[8];
  std::uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
  std::uint64_t mnt_id;
  std::uint32_t dio_mem_align, dio_offset_align;
  std::uint64_t subvol;
  std::uint32_t atomic_write_unit_min, atomic_write_unit_max;
  std::uint32_t atomic_write_segments_max, dio_read_offset_align;
  std::uint64_t spare[9];
};
static_assert(sizeof(RawStatx) == 256);
static_assert(offsetof(RawStatx, dio_mem_align) == 0x98);
static_assert(offsetof(RawStatx, dio_read_offset_align) == 0xb4);

constexpr unsigned kStatxDioAlign = 0x2000;       // STATX_DIOALIGN, Linux 6.1
constexpr unsigned kStatxDioReadAlign = 0x20000;  // STATX_DIO_READ_ALIGN, Linux 6.14

/// A page-cache write may dirty one such unit; larger claims (network filesystems state their
/// preferred I/O size here) say nothing about that.
constexpr std::uint32_t kMaxFilesystemBlock = 64 * 1024;

/// The largest block there are buffers for; pages are the most that memory can ask of them. Nothing
/// known asks for more, and what did would be handled as if it stated nothing.
constexpr std::uint32_t kMaxBlock = 64 * 1024;

Result<RawStatx> raw_statx(int fd) {
  RawStatx answer{};
  if (::syscall(SYS_statx, fd, "", AT_EMPTY_PATH, kStatxDioAlign | kStatxDioReadAlign, &answer) !=
      0) {
    return last_error("statx");
  }
  return answer;
}

bool kernel_is_at_least(int major, int minor) {
  utsname name{};
  int has_major = 0;
  int has_minor = 0;
  if (::uname(&name) != 0 || std::sscanf(name.release, "%d.%d", &has_major, &has_minor) != 2) {
    return false;
  }
  return has_major > major || (has_major == major && has_minor >= minor);
}

Result<UniqueFd> unnamed_file(int dirfd) {
  UniqueFd fd(::openat(dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!fd) return last_error("make an unnamed file in SOURCE");
  return fd;
}

}  // namespace

Result<BackingGeometry> enable_direct_io(int fd) {
  const auto answer = raw_statx(fd);
  if (!answer) return answer.error();
  BackingGeometry geometry;
  geometry.filesystem_block =
      is_power_of_two(answer->blksize) ? std::min(answer->blksize, kMaxFilesystemBlock) : kPageSize;

  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_DIRECT) != 0) return geometry;

  const bool stated =
      (answer->mask & kStatxDioAlign) != 0 && is_power_of_two(answer->dio_mem_align) &&
      answer->dio_mem_align <= kPageSize && is_power_of_two(answer->dio_offset_align) &&
      answer->dio_offset_align <= kMaxBlock;
  geometry.verdict = stated ? Verdict::native : Verdict::unproven;
  if (stated) {
    geometry.memory = answer->dio_mem_align;
    geometry.write = answer->dio_offset_align;
    const bool reads = (answer->mask & kStatxDioReadAlign) != 0 &&
                       is_power_of_two(answer->dio_read_offset_align) &&
                       answer->dio_read_offset_align <= kMaxBlock;
    geometry.read = reads ? answer->dio_read_offset_align : answer->dio_offset_align;
  }
  return geometry;
}

bool accepts_direct_io(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_DIRECT) != 0) return false;
  ::fcntl(fd, F_SETFL, flags);
  return true;
}

Result<BackingGeometry> probe_directory(int dirfd) {
  const auto file = unnamed_file(dirfd);
  if (!file) return file.error();
  return enable_direct_io(file->get());
}

VectorRule probe_vector_rule(int dirfd) {
  const auto by_version = kernel_is_at_least(6, 18) ? VectorRule::memory : VectorRule::block;
  const auto file = unnamed_file(dirfd);
  if (!file) return by_version;
  const auto geometry = enable_direct_io(file->get());
  if (!geometry || geometry->verdict != Verdict::native || geometry->write <= geometry->memory) {
    return by_version;
  }
  BufferPool pool(2ul * geometry->write, 1);
  const auto buffer = pool.acquire();
  std::memset(buffer.data(), 0, geometry->write);
  const iovec parts[] = {{buffer.data(), geometry->write - geometry->memory},
                         {buffer.data() + geometry->write, geometry->memory}};
  const ssize_t written = ::pwritev(file->get(), parts, 2, 0);
  if (written == ssize_t(geometry->write)) return VectorRule::memory;
  return written < 0 && errno == EINVAL ? VectorRule::block : by_version;
}

}  // namespace alignfs
