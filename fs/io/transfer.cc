#include "alignfs/io/transfer.h"

#include <fcntl.h>
#include <sys/uio.h>

#include "alignfs/base/alignment.h"

namespace alignfs {

int rwf_flag(Durability durability) {
  switch (durability) {
    case Durability::none: return 0;
    case Durability::data: return RWF_DSYNC;
    case Durability::file: break;
  }
  return RWF_SYNC;
}

Durability durability_of(int open_flags) {
  // O_SYNC is two bits, of which O_DSYNC is one.
  if ((open_flags & O_SYNC) == O_SYNC) return Durability::file;
  return (open_flags & O_DSYNC) != 0 ? Durability::data : Durability::none;
}

FullTransfer::FullTransfer(Kind transfer_kind, int backing, std::span<std::byte> buffer,
                           std::uint64_t start_at, std::uint32_t resumable, int call_flags)
    : buffer_(buffer), begin_(start_at), block_(resumable), settled_(buffer.empty()) {
  kind = transfer_kind;
  fd = backing;
  flags = call_flags;
  ended = &go_on;
}

FullTransfer FullTransfer::read(int fd, std::span<std::byte> buffer, std::uint64_t offset,
                                std::uint32_t block) {
  return {Kind::read, fd, buffer, offset, block, 0};
}

FullTransfer FullTransfer::write(int fd, std::span<const std::byte> buffer, std::uint64_t offset,
                                 std::uint32_t block, Durability durability, Place place) {
  // Calls have one form of buffer for both directions; a write only reads from it.
  const std::span bytes(const_cast<std::byte*>(buffer.data()), buffer.size());
  const int append = place == Place::at_end ? RWF_APPEND : 0;
  return {Kind::write, fd, bytes, offset, block, append | rwf_flag(durability)};
}

void FullTransfer::take_in_result() {
  if (result == -EINTR) return;
  if (result <= 0) {
    error_ = int(-result);
    settled_ = true;
    return;
  }
  done_ += std::size_t(result);
  settled_ = done_ == buffer_.size() || !is_aligned(done_, block_);
}

bool FullTransfer::advance(Engine& engine) {
  while (!settled_) {
    data = buffer_.data() + done_;
    size = buffer_.size() - done_;
    offset = begin_ + done_;
    if (!engine.start(*this)) return false;
    take_in_result();
  }
  return true;
}

Result<std::size_t> FullTransfer::outcome() const {
  const bool writes = kind == Kind::write;
  if (done_ != 0 || buffer_.empty()) return done_;
  if (error_ != 0) {
    return Error{error_, writes ? "write the backing file" : "read the backing file"};
  }
  if (writes) return Error{EIO, "write the backing file: nothing written"};
  return done_;
}

Result<std::size_t> FullTransfer::run() {
  BlockingEngine engine;
  advance(engine);
  return outcome();
}

bool FullTransfer::await_suspend(std::coroutine_handle<> waiter) {
  waiter_ = waiter;
  return !advance(Engine::of_this_thread());
}

void FullTransfer::go_on(BackingCall& call) {
  auto& self = static_cast<FullTransfer&>(call);
  self.take_in_result();
  if (self.advance(Engine::of_this_thread())) self.waiter_.resume();
}

}  // namespace alignfs
