#include "mount/support/calls.h"

#include <linux/aio_abi.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace alignfs::test {

namespace {

struct OpFacts {
  const char* syscall;
  bool write;
  bool vector;
};

constexpr std::array<OpFacts, 14> kFacts = {{
    {"read", false, false},
    {"write", true, false},
    {"pread64", false, false},
    {"pwrite64", true, false},
    {"readv", false, true},
    {"writev", true, true},
    {"preadv", false, true},
    {"pwritev", true, true},
    {"preadv2", false, true},
    {"pwritev2", true, true},
    {"io_submit", false, false},
    {"io_submit", true, false},
    {"io_submit", false, true},
    {"io_submit", true, true},
}};

const OpFacts& facts(Op op) { return kFacts.at(static_cast<std::size_t>(op)); }

CallResult as_result(std::int64_t returned) {
  if (returned < 0) return {-1, errno};
  return {returned, 0};
}

}  // namespace

const char* syscall_name(Op op) { return facts(op).syscall; }
bool is_write(Op op) { return facts(op).write; }
bool is_vector(Op op) { return facts(op).vector; }

std::uint64_t CallShape::length() const {
  std::uint64_t total = 0;
  for (const Part& part : parts) total += part.length;
  return total;
}

std::string CallShape::describe() const {
  std::string text = std::string(syscall_name(op)) + (is_write(op) ? " (write)" : " (read)") +
                     " offset " + std::to_string(offset) + " buffers";
  for (const Part& part : parts) {
    text += " +" + std::to_string(part.excess) + "x" + std::to_string(part.length);
  }
  return text;
}

CallMaker::CallMaker() : arena_(kMaxParts * kSlot) {
  if (syscall(SYS_io_setup, 4, &aio_) != 0) {
    throw std::system_error(errno, std::generic_category(), "io_setup");
  }
}

CallMaker::~CallMaker() { syscall(SYS_io_destroy, aio_); }

std::vector<iovec> CallMaker::segments(const CallShape& shape) const {
  std::vector<iovec> list;
  for (std::size_t i = 0; i < shape.parts.size(); ++i) {
    list.push_back({arena_.data() + i * kSlot + shape.parts[i].excess, shape.parts[i].length});
  }
  return list;
}

std::string CallMaker::gather(const CallShape& shape) const {
  std::string bytes;
  for (const iovec& part : segments(shape)) {
    bytes.append(static_cast<const char*>(part.iov_base), part.iov_len);
  }
  return bytes;
}

void CallMaker::fill(const CallShape& shape, const std::string& bytes) {
  std::size_t done = 0;
  for (const iovec& part : segments(shape)) {
    std::memcpy(part.iov_base, bytes.data() + done, part.iov_len);
    done += part.iov_len;
  }
}

CallResult CallMaker::make(int fd, const CallShape& shape) {
  const std::vector<iovec> list = segments(shape);
  const int count = static_cast<int>(list.size());
  const auto offset = static_cast<off_t>(shape.offset);
  void* const base = list[0].iov_base;
  const std::size_t length = list[0].iov_len;
  switch (shape.op) {
    case Op::read:
    case Op::write:
    case Op::readv:
    case Op::writev:
      if (lseek(fd, offset, SEEK_SET) != offset) return {-1, errno};
      break;
    default: break;
  }
  switch (shape.op) {
    case Op::read: return as_result(::read(fd, base, length));
    case Op::write: return as_result(::write(fd, base, length));
    case Op::pread: return as_result(::pread(fd, base, length, offset));
    case Op::pwrite: return as_result(::pwrite(fd, base, length, offset));
    case Op::readv: return as_result(::readv(fd, list.data(), count));
    case Op::writev: return as_result(::writev(fd, list.data(), count));
    case Op::preadv: return as_result(::preadv(fd, list.data(), count, offset));
    case Op::pwritev: return as_result(::pwritev(fd, list.data(), count, offset));
    // The wrappers of libc fall back to preadv() for flags of 0, the system calls do not.
    case Op::preadv2: return as_result(syscall(SYS_preadv2, fd, list.data(), count, offset, 0L, 0));
    case Op::pwritev2:
      return as_result(syscall(SYS_pwritev2, fd, list.data(), count, offset, 0L, 0));
    default: return submit(fd, shape, list);
  }
}

CallResult CallMaker::submit(int fd, const CallShape& shape, const std::vector<iovec>& list) {
  iocb block{};
  block.aio_fildes = static_cast<unsigned>(fd);
  block.aio_offset = static_cast<std::int64_t>(shape.offset);
  if (is_vector(shape.op)) {
    block.aio_lio_opcode = is_write(shape.op) ? IOCB_CMD_PWRITEV : IOCB_CMD_PREADV;
    block.aio_buf = reinterpret_cast<std::uint64_t>(list.data());
    block.aio_nbytes = list.size();
  } else {
    block.aio_lio_opcode = is_write(shape.op) ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
    block.aio_buf = reinterpret_cast<std::uint64_t>(list[0].iov_base);
    block.aio_nbytes = list[0].iov_len;
  }
  iocb* blocks[] = {&block};
  if (syscall(SYS_io_submit, aio_, 1, blocks) != 1) return {-1, errno};
  io_event event{};
  while (syscall(SYS_io_getevents, aio_, 1, 1, &event, nullptr) != 1) {
    if (errno != EINTR) return {-1, errno};
  }
  if (event.res < 0) return {-1, static_cast<int>(-event.res)};
  return {event.res, 0};
}

std::vector<iovec> judged_part(const std::vector<iovec>& list, const CallShape& shape,
                               std::uint64_t file_size, const Boundary& boundary) {
  if (is_write(shape.op)) return list;
  const std::uint64_t end = (file_size + boundary.block - 1) / boundary.block * boundary.block;
  std::uint64_t left = end > shape.offset ? end - shape.offset : 0;
  std::vector<iovec> kept;
  for (iovec part : list) {
    part.iov_len = std::min<std::uint64_t>(part.iov_len, left);
    left -= part.iov_len;
    kept.push_back(part);
  }
  return kept;
}

std::vector<std::string> broken_rules(const std::vector<iovec>& list, std::uint64_t offset,
                                      const Boundary& boundary) {
  bool memory = false, length = false;
  std::uint64_t total = 0;
  for (const iovec& part : list) {
    if (part.iov_len == 0) continue;
    memory |= reinterpret_cast<std::uint64_t>(part.iov_base) % boundary.memory != 0;
    if (list.size() > 1) length |= part.iov_len % boundary.memory != 0;
    total += part.iov_len;
  }
  length |= total % boundary.block != 0;
  std::vector<std::string> broken;
  if (memory) broken.push_back("memory");
  if (offset % boundary.block != 0) broken.push_back("offset");
  if (length) broken.push_back("length");
  return broken;
}

}  // namespace alignfs::test
