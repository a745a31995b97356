#include "alignfs/report/advice.h"

#include <fmt/format.h>

#include <algorithm>

#include "alignfs/base/alignment.h"

namespace alignfs {
namespace {

/// The event's numbers as the sentences below use them.
struct Numbers {
  bool write = false;
  bool memory_broken = false;
  /// Offset or length broken: whole blocks have to be moved.
  bool block_broken = false;
  std::uint64_t memory = 1;
  std::uint64_t block = 1;
  std::uint64_t offset = 0;  ///< of the nearest legal request
  std::uint64_t length = 0;
  std::uint64_t head = 0;    ///< bytes before the program's own in that request
  std::uint64_t wanted = 0;  ///< the program's own bytes
};

Numbers numbers_of(const Event& event) {
  const Diagnosis& facts = event.diagnosis;
  Numbers n;
  n.write = event.direction == Direction::write;
  n.memory_broken = (facts.broken & kMemory) != 0;
  n.block_broken = (facts.broken & (kOffset | kLength)) != 0;
  n.memory = std::max<std::uint64_t>(event.rules.memory.bytes, 1);
  n.block = std::max<std::uint64_t>(event.rules.block.bytes, 1);
  n.offset = facts.nearest_offset;
  n.length = facts.nearest_length;
  n.wanted = event.view.call.length;
  n.head = event.view.call.offset - std::min(n.offset, event.view.call.offset);
  return n;
}

std::string python(const Numbers& n) {
  const std::string map =
      n.memory <= kPageSize
          ? fmt::format("m = mmap.mmap(-1, {})", n.length)
          : fmt::format("m = a slice of mmap.mmap(-1, {}) that begins on a {}-byte boundary",
                        n.length + n.memory, n.memory);
  if (!n.write) {
    return fmt::format(
        "{}, os.preadv(fd, [m], {}) and take m[{}:{}]; os.read and bytearrays choose their own "
        "address",
        map, n.offset, n.head, n.head + n.wanted);
  }
  if (!n.block_broken) {
    return fmt::format("put the data in {} and os.pwrite(fd, memoryview(m)[:{}], {})", map,
                       n.length, n.offset);
  }
  return fmt::format(
      "{}, os.preadv(fd, [m], {}) for the bytes around yours, m[{}:{}] = data, os.pwrite(fd, "
      "memoryview(m)[:{}], {})",
      map, n.offset, n.head, n.head + n.wanted, n.length, n.offset);
}

std::string dd(const Numbers& n) {
  if (!n.write) {
    return fmt::format(
        "bs= a multiple of {0} (bs={0} or bs=1M) and skip= in whole blocks; with "
        "iflag=skip_bytes a multiple of {0}",
        n.block);
  }
  return fmt::format(
      "bs= a multiple of {0} (bs={0} or bs=1M) with iflag=fullblock, seek= in whole blocks (with "
      "oflag=seek_bytes a multiple of {0}); conv=sync pads a short last block, and -o "
      "enforce=odirect lets GNU dd write it as it does on a disk",
      n.block);
}

std::string fio(const Numbers& n) {
  std::string text = fmt::format(
      "bs={0} (or another multiple of {0}, in bsrange and bssplit too), blockalign={0}, offset= a "
      "multiple of {0}",
      n.block);
  if (n.memory_broken) text += fmt::format(", iomem_align={}", n.memory);
  return text;
}

std::string c(const Numbers& n) {
  const auto boundary = std::max<std::uint64_t>(n.memory, sizeof(void*));
  std::string text = fmt::format("posix_memalign(&buf, {}, {}), ", boundary, n.length);
  if (!n.write) {
    text += fmt::format("pread(fd, buf, {}, {})", n.length, n.offset);
    if (n.block_broken) text += fmt::format(" and take {} bytes from buf + {}", n.wanted, n.head);
  } else if (n.block_broken) {
    text += fmt::format(
        "pread(fd, buf, {0}, {1}) for the bytes around yours, your {2} bytes to buf + {3}, "
        "pwrite(fd, buf, {0}, {1})",
        n.length, n.offset, n.wanted, n.head);
  } else {
    text += fmt::format("pwrite(fd, buf, {}, {})", n.length, n.offset);
  }
  return text +
         "; getxattr user.alignfs.alignment tells the boundaries here, statx(STATX_DIOALIGN) on "
         "the disk itself";
}

std::string java(const Numbers& n) {
  // With ExtendedOpenOption.DIRECT the JDK itself wants address, offset and length to be multiples
  // of the filesystem's block, which is a page almost everywhere, whatever the disk would take.
  const std::uint64_t unit = std::max({n.memory, n.block, kPageSize});
  const std::uint64_t begin = align_down(n.offset, unit);
  const std::uint64_t length = align_up(n.offset + n.length, unit) - begin;
  return fmt::format(
      "b = ByteBuffer.allocateDirect({}).alignedSlice({}).limit({}), channel.{}(b, {}) on a "
      "FileChannel opened with ExtendedOpenOption.DIRECT{}",
      length + unit, unit, length, n.write ? "write" : "read", begin,
      n.write && (n.block_broken || length != n.length)
          ? "; read the block first, then change your bytes in it"
          : "");
}

std::string go(const Numbers& n) {
  const std::string buffer =
      n.memory <= kPageSize
          ? fmt::format(
                "b, err := unix.Mmap(-1, 0, {}, unix.PROT_READ|unix.PROT_WRITE, "
                "unix.MAP_ANON|unix.MAP_PRIVATE)",
                n.length)
          : fmt::format("make([]byte, {}) sliced to b where it meets a {}-byte boundary",
                        n.length + n.memory, n.memory);
  return fmt::format(
      "{}, f.{}(b[:{}], {}){}", buffer, n.write ? "WriteAt" : "ReadAt", n.length, n.offset,
      n.write && n.block_broken ? "; ReadAt the block first, then change your bytes in it" : "");
}

std::string node(const Numbers& n) {
  const std::string call = fmt::format("fs.{}(fd, buffer, 0, {}, {})",
                                       n.write ? "writeSync" : "readSync", n.length, n.offset);
  if (!n.memory_broken) return call + ": whole blocks at whole offsets";
  return fmt::format(
      "a Buffer cannot choose its address: allocate it on a {}-byte boundary in a native addon, "
      "then {}",
      n.memory, call);
}

std::string way_of(Runtime runtime, const Numbers& n) {
  switch (runtime) {
    case Runtime::python: return python(n);
    case Runtime::dd: return dd(n);
    case Runtime::fio: return fio(n);
    case Runtime::java: return java(n);
    case Runtime::go: return go(n);
    case Runtime::node: return node(n);
    case Runtime::c: break;
  }
  return c(n);
}

}  // namespace

const char* reason_for(Fallback cause) {
  switch (cause) {
    case Fallback::unproven:
      return "O_DIRECT is accepted, but statx vouches for no direct I/O: the backing may use the "
             "page cache";
    case Fallback::refused: return "O_DIRECT is refused: I/O goes through the page cache";
    case Fallback::unmappable: return "files like this one are not mapped: they are read by pread";
    case Fallback::mapping_limit:
      return "as much is mapped as may be at one time: the rest is read by pread";
    case Fallback::mapping_failed:
      return "the file could not be mapped for now: it is read by pread until it can be";
    case Fallback::no_passthrough: break;
  }
  return "the kernel does not serve this file itself: its requests go through the daemon";
}

bool is_found_at_open(Fallback cause) {
  return cause != Fallback::unmappable && cause != Fallback::mapping_limit &&
         cause != Fallback::mapping_failed;
}

std::string advice_for(const Event& event) {
  if (event.action == Action::fallback) {
    switch (event.cause) {
      case Fallback::unproven:
      case Fallback::refused: return "mount with -o require_direct to refuse such a backing";
      case Fallback::unmappable: return "-o mode=buffered reads all files in that way";
      case Fallback::mapping_limit: return "files are mapped again when others have been closed";
      case Fallback::mapping_failed:
        return "each read tries again; descriptors (ulimit -n) or the right to read it may be "
               "missing";
      case Fallback::no_passthrough: break;
    }
    return "passthrough needs root, Linux 6.9, and a backing that is not stacked on another";
  }
  const Numbers n = numbers_of(event);
  std::string text = way_of(event.process.runtime, n);
  if (event.action != Action::rejected) return text;
  text += "; or mount with -o unaligned=bounce";
  // The daemon's own buffers are aligned whatever the caller's are, so that this rule can go alone.
  if (n.memory_broken && !n.block_broken) text += " or -o mem_align=off";
  return text;
}

const char* name_of(Runtime runtime) {
  switch (runtime) {
    case Runtime::python: return "python";
    case Runtime::dd: return "dd";
    case Runtime::fio: return "fio";
    case Runtime::java: return "java";
    case Runtime::go: return "go";
    case Runtime::node: return "node";
    case Runtime::c: break;
  }
  return "C";
}

}  // namespace alignfs
