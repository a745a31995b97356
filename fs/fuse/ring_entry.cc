#include "alignfs/fuse/ring_entry.h"

#include <linux/fuse.h>

#include <cerrno>
#include <cstring>

#include "alignfs/base/alignment.h"

namespace alignfs {
namespace {

// include/uapi/linux/fuse.h of Linux 6.14.
constexpr std::uint32_t kRegister = 1;        // FUSE_IO_URING_CMD_REGISTER
constexpr std::uint32_t kCommitAndFetch = 2;  // FUSE_IO_URING_CMD_COMMIT_AND_FETCH
constexpr std::size_t kHeaderRoom = 128;  // FUSE_URING_IN_OUT_HEADER_SZ, FUSE_URING_OP_IN_OUT_SZ

struct Command {  // struct fuse_uring_cmd_req
  std::uint64_t flags, commit_id;
  std::uint16_t queue;
  std::uint8_t padding[6];
};
static_assert(sizeof(Command) == 24);

// The kernel's own names for requests are counted up and stay far below.
constexpr std::uint64_t kOurs = 1ull << 63;
constexpr unsigned kAddressBits = 48;
constexpr std::uint64_t kAddress = (1ull << kAddressBits) - 1;

// What happened before an answer happened before the request that the caller makes when he has it.
// The thread sanitizer knows that of read(2) and write(2), and must be told of a ring.
#ifdef __SANITIZE_THREAD__
std::atomic<unsigned> answers{0};
void answer_leaves() { answers.fetch_add(1, std::memory_order_release); }
void request_comes() { answers.load(std::memory_order_acquire); }
#else
void answer_leaves() {}
void request_comes() {}
#endif

}  // namespace

/// struct fuse_uring_req_header
struct RingEntry::Headers {
  std::byte in_out[kHeaderRoom];
  std::byte operation[kHeaderRoom];
  std::uint64_t flags, commit_id;
  std::uint32_t payload_size, padding;
  std::uint64_t reserved;
};

std::size_t RingEntry::buffer_size(std::size_t payload) { return kPageSize + payload; }

RingEntry::RingEntry(Server& server, unsigned queue, BufferPool::Lease buffer, std::size_t payload)
    : server_(server), queue_(queue), buffer_(std::move(buffer)), payload_(payload) {
  static_assert(sizeof(Headers) == 288 && 2 * sizeof(Headers) < kPageSize);
  memory_[0] = {&headers(), sizeof(Headers)};
  memory_[1] = {this->payload(), payload_};
}

std::byte* RingEntry::payload() const { return buffer_.data() + kPageSize; }

void RingEntry::command(UringEngine& engine, int fuse_fd, std::uint32_t operation) {
  engine.queue(*this, [&](io_uring_sqe* entry) {
    ::io_uring_prep_rw(IORING_OP_URING_CMD, entry, fuse_fd, memory_, 2, 0);
    entry->cmd_op = operation;
    const Command command{0, unique_, std::uint16_t(queue_), {}};
    // Where the larger entry goes on: in the header `cmd` is an array of no length.
    std::memcpy(reinterpret_cast<std::byte*>(entry) + offsetof(io_uring_sqe, cmd), &command,
                sizeof command);
  });
}

void RingEntry::enrol(UringEngine& engine, int fuse_fd) { command(engine, fuse_fd, kRegister); }

void RingEntry::commit(UringEngine& engine, int fuse_fd) {
  answer_leaves();
  command(engine, fuse_fd, kCommitAndFetch);
  unique_ = 0;
}

void RingEntry::completed(int result) {
  if (result != 0) return server_.lost(*this, -result);
  request_comes();
  if (assemble()) return server_.arrived(*this);
  // No request of a kernel that is known; answered all the same, because somebody waits.
  fuse_out_header out{sizeof out, -EIO, name_};
  const iovec part{&out, sizeof out};
  put_answer({&part, 1});
}

bool RingEntry::assemble() {
  message_ = {};
  const auto& from = headers();
  fuse_in_header header;
  std::memcpy(&header, from.in_out, sizeof header);
  const auto address = reinterpret_cast<std::uintptr_t>(this);
  name_ = kOurs | (++count_ << kAddressBits & ~kOurs) | address;
  unique_ = from.commit_id;
  const std::size_t fixed = sizeof header + from.payload_size;
  if (from.payload_size > payload_ || header.len < fixed || header.len - fixed > kHeaderRoom) {
    return false;
  }
  const std::size_t operation = header.len - fixed;
  header.unique = name_;
  std::byte* begin = payload() - operation - sizeof header;
  std::memcpy(begin, &header, sizeof header);
  std::memcpy(begin + sizeof header, from.operation, operation);
  message_ = {begin, header.len};
  return true;
}

bool RingEntry::take_answer(std::span<const iovec> parts) {
  fuse_out_header out;
  std::memcpy(&out, parts[0].iov_base, sizeof out);
  if ((out.unique & kOurs) == 0) return false;
  reinterpret_cast<RingEntry*>(out.unique & kAddress)->put_answer(parts);
  return true;
}

void RingEntry::put_answer(std::span<const iovec> parts) {
  fuse_out_header out;
  std::memcpy(&out, parts[0].iov_base, sizeof out);
  std::size_t size = 0;
  for (const auto& part : parts.subspan(1)) {
    if (part.iov_len > payload_ - size) {
      out.error = -EIO;
      size = 0;
      break;
    }
    // What was read into room() may lie there already, or a little further on.
    std::byte* place = payload() + size;
    if (part.iov_base != place) std::memmove(place, part.iov_base, part.iov_len);
    size += part.iov_len;
  }
  out.unique = unique_;
  auto& to = headers();
  std::memcpy(to.in_out, &out, sizeof out);
  to.payload_size = std::uint32_t(size);
  server_.answered(*this);
}

void RingEntry::now_known(std::uint64_t count) {
  for (auto before = known_.load(); before < count;) {
    if (known_.compare_exchange_weak(before, count)) break;
  }
}

std::uint64_t RingEntry::known_name(std::uint64_t unique) const {
  // The kernel uses none of its names twice: where it is the same before and after, so was the
  // request.
  if (unique_ != unique || known_ != count_) return 0;
  const std::uint64_t name = name_;
  return unique_ == unique ? name : 0;
}

}  // namespace alignfs
