#include "alignfs/fuse/request_pace.h"

#include <fcntl.h>
#include <linux/fuse.h>

#include <cstring>
#include <optional>

#include "alignfs/file/file.h"
#include "alignfs/fuse/control.h"

namespace alignfs {
namespace {

constexpr std::uint32_t kSyncfs = 50;  // FUSE_SYNCFS, 7.34

// struct fuse_read_in and struct fuse_write_in begin alike and have their flags at one place.
static_assert(offsetof(fuse_read_in, fh) == offsetof(fuse_write_in, fh));
static_assert(offsetof(fuse_read_in, offset) == offsetof(fuse_write_in, offset));
static_assert(offsetof(fuse_read_in, size) == offsetof(fuse_write_in, size));
static_assert(offsetof(fuse_read_in, flags) == offsetof(fuse_write_in, flags));

/// What a read or write of a file asks for; none for control files and messages cut short.
std::optional<fuse_write_in> transfer_of(const fuse_in_header& header,
                                         std::span<const std::byte> body) {
  fuse_write_in in;
  const bool transfers = header.opcode == FUSE_READ || header.opcode == FUSE_WRITE;
  if (!transfers || body.size() < sizeof in || Control::is_control(header.nodeid)) return {};
  std::memcpy(&in, body.data(), sizeof in);
  return in;
}

const File& file_of(const fuse_write_in& in) { return *reinterpret_cast<const File*>(in.fh); }

bool leaves_thread(const fuse_in_header& header, const fuse_write_in& in) {
  const bool writes = header.opcode == FUSE_WRITE;
  // An append looks at the size first, and a write by a stranger at the mode. Asynchronous writes
  // to a network or FUSE are not made durable by the kernel.
  if (writes &&
      ((in.flags & (O_APPEND | O_DSYNC)) != 0 || (in.write_flags & FUSE_WRITE_KILL_SUIDGID) != 0)) {
    return false;
  }
  return file_of(in).leaves_thread(writes ? Direction::write : Direction::read, in.offset, in.size);
}

bool takes_turns(const fuse_in_header& header, const fuse_write_in& in) {
  return header.opcode == FUSE_WRITE && (in.flags & O_DSYNC) == 0 &&
         file_of(in).writes_take_turns();
}

Pace::Kind kind_of(const fuse_in_header& header, const std::optional<fuse_write_in>& transfer) {
  switch (header.opcode) {
    case FUSE_READ:
    case FUSE_WRITE:
      return transfer && leaves_thread(header, *transfer) ? Pace::Kind::leaves_thread
                                                          : Pace::Kind::may_wait;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT: return Pace::Kind::at_once;
    case FUSE_FSYNC:
    case FUSE_FSYNCDIR:
    case FUSE_FALLOCATE:
    case FUSE_COPY_FILE_RANGE:
    case kSyncfs: return Pace::Kind::waits;
    default: return Pace::Kind::may_wait;
  }
}

bool is_awaited(std::uint32_t opcode) {
  switch (opcode) {
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR: return false;
    default: return true;
  }
}

}  // namespace

Pace pace_of(std::span<const std::byte> message) {
  fuse_in_header header;
  if (message.size() < sizeof header) return {};
  std::memcpy(&header, message.data(), sizeof header);
  const auto transfer = transfer_of(header, message.subspan(sizeof header));
  return {.kind = kind_of(header, transfer),
          .keeps_buffer = header.opcode == FUSE_WRITE,
          .awaited = is_awaited(header.opcode),
          .caller = pid_t(header.pid),
          .takes_turns_at = transfer && takes_turns(header, *transfer) ? header.nodeid : 0};
}

}  // namespace alignfs
