#include "alignfs/fuse/kernel_features.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <optional>

#include "alignfs/base/alignment.h"
#include "alignfs/base/unique_fd.h"
#include "alignfs/fuse/ring_entry.h"

namespace alignfs::kernel {
namespace {

// include/uapi/linux/fuse.h of Linux 6.14, spelt out because distributions ship older headers.
constexpr std::uint64_t kInitExt = 1ull << 30;               // FUSE_INIT_EXT, 7.36
constexpr std::uint64_t kMaxPages = 1ull << 22;              // FUSE_MAX_PAGES, 7.28
constexpr std::uint64_t kSetxattrExt = 1ull << 29;           // FUSE_SETXATTR_EXT, 7.33
constexpr std::uint32_t kAclKillSgid = 1 << 0;               // FUSE_SETXATTR_ACL_KILL_SGID, 7.33
constexpr std::uint64_t kDirectIoAllowMmap = 1ull << 36;     // FUSE_DIRECT_IO_ALLOW_MMAP, 7.39
constexpr std::uint64_t kPassthrough = 1ull << 37;           // FUSE_PASSTHROUGH, 7.40
constexpr std::uint64_t kOverIoUring = 1ull << 41;           // FUSE_OVER_IO_URING, 7.42
constexpr std::uint32_t kOpenParallelDirectWrites = 1 << 6;  // FOPEN_PARALLEL_DIRECT_WRITES, 7.38
constexpr std::uint32_t kOpenPassthrough = 1 << 7;           // FOPEN_PASSTHROUGH, 7.40
constexpr std::uint32_t kOpcodeTmpfile = 51;                 // FUSE_TMPFILE, 7.37

struct InitOut {  // struct fuse_init_out as of 7.40; older kernels ignore what they do not know
  std::uint32_t major, minor, max_readahead, flags;
  std::uint16_t max_background, congestion_threshold;
  std::uint32_t max_write, time_gran;
  std::uint16_t max_pages, map_alignment;
  std::uint32_t flags2, max_stack_depth, unused[6];
};
static_assert(sizeof(InitOut) == 64);

struct OpenOut {  // struct fuse_open_out as of 7.40
  std::uint64_t fh;
  std::uint32_t open_flags;
  std::int32_t backing_id;
};
static_assert(sizeof(OpenOut) == 16);

struct SetxattrIn {  // struct fuse_setxattr_in with FUSE_SETXATTR_EXT; without it ends at flags
  std::uint32_t size, flags, setxattr_flags, padding;
};
constexpr std::size_t kShortSetxattrIn = offsetof(SetxattrIn, setxattr_flags);

struct BackingMap {  // struct fuse_backing_map
  std::int32_t fd;
  std::uint32_t flags;
  std::uint64_t padding;
};
constexpr unsigned long kBackingOpen = _IOW(229, 1, BackingMap);      // FUSE_DEV_IOC_BACKING_OPEN
constexpr unsigned long kBackingClose = _IOW(229, 2, std::uint32_t);  // FUSE_DEV_IOC_BACKING_CLOSE

/// FUSE mounts may stack on the backing once; the mount itself may then be the lower layer of none.
constexpr std::uint32_t kStackDepth = 1;

struct InitPatch {
  std::uint64_t offered = 0;
  std::uint64_t flags = 0;
  std::size_t max_request = 0;
};

struct ThreadState {
  RequestExtras extras;
  std::uint64_t offered = 0;  ///< flags of the INIT request
  std::optional<InitPatch> init;
  std::optional<std::int32_t> open_backing_id;
};
thread_local ThreadState state;

/// The id, or -1 with errno.
int register_backing_file(int fuse_fd, int backing_fd) {
  const BackingMap map{backing_fd, 0, 0};
  return ::ioctl(fuse_fd, kBackingOpen, &map);
}

/// Granted by INIT: SETXATTR requests come in their long form.
std::atomic<bool> long_setxattr{false};

void patch_init(const InitPatch& patch, std::span<std::byte> reply) {
  if (reply.size() < sizeof(InitOut)) return;
  InitOut out;
  std::memcpy(&out, reply.data(), sizeof out);
  out.flags |= std::uint32_t(patch.flags);
  if (patch.offered & kMaxPages) out.max_pages = std::uint16_t(patch.max_request / kPageSize + 1);
  if (patch.offered & kInitExt) {
    out.flags |= std::uint32_t(kInitExt);
    out.flags2 |= std::uint32_t(patch.flags >> 32);
    if (patch.flags & kPassthrough) out.max_stack_depth = kStackDepth;
  }
  std::memcpy(reply.data(), &out, sizeof out);
}

/// The answer to OPEN, and the last part of the answer to CREATE.
void patch_open(std::int32_t backing_id, std::span<std::byte> reply) {
  if (reply.size() < sizeof(OpenOut)) return;
  std::byte* place = reply.data() + reply.size() - sizeof(OpenOut);
  OpenOut out;
  std::memcpy(&out, place, sizeof out);
  out.open_flags |= kOpenParallelDirectWrites;
  if (backing_id > 0) {
    out.open_flags |= kOpenPassthrough;
    out.backing_id = backing_id;
  }
  std::memcpy(place, &out, sizeof out);
}

/// Takes the long form's extra fields out, by moving what lies before them.
std::span<std::byte> shorten_setxattr(std::span<std::byte> request, fuse_in_header header) {
  constexpr std::size_t kExtra = sizeof(SetxattrIn) - kShortSetxattrIn;
  SetxattrIn in;
  std::memcpy(&in, request.data() + sizeof header, sizeof in);
  state.extras.acl_kills_sgid = (in.setxattr_flags & kAclKillSgid) != 0;
  header.len -= kExtra;
  const auto shorter = request.subspan(kExtra);
  std::memcpy(shorter.data(), &header, sizeof header);
  std::memcpy(shorter.data() + sizeof header, &in, kShortSetxattrIn);
  return shorter;
}

}  // namespace

std::span<std::byte> prepare_request(std::span<std::byte> request) {
  state.extras = {};
  if (request.size() < sizeof(fuse_in_header)) return request;
  fuse_in_header header;
  std::memcpy(&header, request.data(), sizeof header);
  const auto body = request.subspan(sizeof header);
  if (header.opcode == kOpcodeTmpfile) {
    // The bodies of both requests are the same; the name is the kernel's own and means nothing.
    header.opcode = FUSE_CREATE;
    std::memcpy(request.data(), &header, sizeof header);
    state.extras.tmpfile = true;
  } else if (header.opcode == FUSE_WRITE && body.size() >= sizeof(fuse_write_in)) {
    fuse_write_in in;
    std::memcpy(&in, body.data(), sizeof in);
    state.extras.kill_suidgid = (in.write_flags & FUSE_WRITE_KILL_SUIDGID) != 0;
  } else if (header.opcode == FUSE_SETXATTR && long_setxattr && body.size() >= sizeof(SetxattrIn)) {
    return shorten_setxattr(request, header);
  } else if (header.opcode == FUSE_INIT && body.size() >= sizeof(fuse_init_in)) {
    fuse_init_in in;
    std::memcpy(&in, body.data(), sizeof in);
    state.offered = in.flags;
    if (state.offered & kInitExt) state.offered |= std::uint64_t(in.flags2) << 32;
  }
  return request;
}

const RequestExtras& current_request() { return state.extras; }

std::size_t choose_max_read(std::size_t max_request, std::uint32_t block, bool strict) {
  const bool gains = std::has_single_bit(max_request + kPageSize);
  return strict || block > kPageSize || !gains ? max_request : max_request + kPageSize;
}

void request_features(Features& features, bool want_passthrough, bool want_io_uring) {
  InitPatch patch{state.offered, 0, features.max_request};
  features.direct_io_mmap = (state.offered & kDirectIoAllowMmap) != 0;
  features.passthrough = want_passthrough && (state.offered & kPassthrough) != 0;
  if (features.direct_io_mmap) patch.flags |= kDirectIoAllowMmap;
  features.over_io_uring = want_io_uring && (state.offered & kOverIoUring) != 0;
  if (features.passthrough) patch.flags |= kPassthrough;
  if (features.over_io_uring) patch.flags |= kOverIoUring;
  patch.flags |= state.offered & kSetxattrExt;
  long_setxattr = (patch.flags & kSetxattrExt) != 0;
  state.init = patch;
}

OpenReplyScope::OpenReplyScope(std::int32_t backing_id) { state.open_backing_id = backing_id; }
OpenReplyScope::~OpenReplyScope() { state.open_backing_id.reset(); }

ssize_t send_reply(int fd, iovec* parts, int count, void*) {
  std::array<std::byte, 256> copy;
  iovec patched[2];
  const bool due = state.init || state.open_backing_id;
  if (due && count == 2 && parts[1].iov_len <= copy.size()) {
    // libfuse's own memory is const to us.
    std::memcpy(copy.data(), parts[1].iov_base, parts[1].iov_len);
    const std::span reply(copy.data(), parts[1].iov_len);
    if (state.init) {
      patch_init(*state.init, reply);
      state.init.reset();
    } else {
      patch_open(*state.open_backing_id, reply);
    }
    patched[0] = parts[0];
    patched[1] = {copy.data(), reply.size()};
    parts = patched;
  }
  const std::span reply(parts, std::size_t(count));
  if (!RingEntry::take_answer(reply)) return ::writev(fd, parts, count);
  ssize_t size = 0;
  for (const auto& part : reply) size += ssize_t(part.iov_len);
  return size;
}

BackingFile::~BackingFile() {
  if (id_ > 0) ::ioctl(fuse_fd_, kBackingClose, &id_);
}

std::int32_t backing_id_for(OpenInode& shared, int fuse_fd) {
  const std::lock_guard guard(shared.attachment_mutex);
  if (!shared.attachment) {
    // Not the handle's descriptor: the kernel keeps what it is given, and a writer's would hold off
    // execve(2) and leases after the writer has gone.
    int id = register_backing_file(fuse_fd, shared.anchor.get());
    if (id < 0 && errno == EBADF) {  // older kernels take no O_PATH descriptor
      const UniqueFd readable(::open(ProcPath(shared.anchor.get()).c_str(), O_RDONLY | O_CLOEXEC));
      id = register_backing_file(fuse_fd, readable.get());
    }
    if (id < 0) {
      spdlog::debug("the kernel takes no backing file: {}", std::strerror(errno));
    }
    shared.attachment = std::make_shared<BackingFile>(fuse_fd, std::max(id, 0));
  }
  return static_cast<const BackingFile*>(shared.attachment.get())->id();
}

int try_backing_file(int fuse_fd, int backing_fd) {
  const int id = register_backing_file(fuse_fd, backing_fd);
  if (id < 0) return errno;
  const BackingFile taken(fuse_fd, id);
  return 0;
}

bool is_backing_file(OpenInode& shared) {
  const std::lock_guard guard(shared.attachment_mutex);
  return shared.attachment && static_cast<const BackingFile*>(shared.attachment.get())->id() > 0;
}

}  // namespace alignfs::kernel
