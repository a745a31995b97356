#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <span>

#include "alignfs/base/result.h"
#include "alignfs/io/engine.h"

namespace alignfs {

/// Where a write goes: at its offset, or at the end of file, which the kernel then finds in one
/// step with the write, whoever else writes (RWF_APPEND).
enum class Place : std::uint8_t { at_offset, at_end };

/// When a write must be on the backing's media: RWF_DSYNC and RWF_SYNC of pwritev2(2).
enum class Durability : std::uint8_t { none, data, file };

/// The RWF_* flag that asks for it, or 0.
int rwf_flag(Durability durability);
/// What a descriptor with these O_* flags asks of each of its writes.
Durability durability_of(int open_flags);

/// A read or write of all of a buffer, in as many calls as it takes. To be awaited once, by a
/// coroutine that goes on where the thread's engine ends the last call, or run() once.
///
/// A read ends where the file ends; a write where an error stops it, with at least 1 byte written
/// unless there was nothing to write. An error after some bytes gives those bytes: the next request
/// meets the error again.
///
/// Interrupted calls are repeated. After a short direct call only a position that is a multiple of
/// `block` is resumed: any other short count means the end of file, as does EINVAL after one (the
/// file was cut in between). `block` is 1 where the descriptor takes any position.
class [[nodiscard]] FullTransfer : private BackingCall {
 public:
  static FullTransfer read(int fd, std::span<std::byte> buffer, std::uint64_t offset,
                           std::uint32_t block);
  static FullTransfer write(int fd, std::span<const std::byte> buffer, std::uint64_t offset,
                            std::uint32_t block, Durability durability,
                            Place place = Place::at_offset);
  FullTransfer(const FullTransfer&) = delete;

  /// Makes the calls and waits for them, whatever the thread's engine. Returns the bytes moved.
  Result<std::size_t> run();

  bool await_ready() const { return false; }
  bool await_suspend(std::coroutine_handle<> waiter);
  Result<std::size_t> await_resume() const { return outcome(); }

 private:
  FullTransfer(Kind transfer_kind, int backing, std::span<std::byte> buffer, std::uint64_t start_at,
               std::uint32_t resumable, int call_flags);
  /// Makes calls until one is left running (false) or all is done.
  bool advance(Engine& engine);
  void take_in_result();
  static void go_on(BackingCall& call);
  Result<std::size_t> outcome() const;

  const std::span<std::byte> buffer_;
  const std::uint64_t begin_;
  const std::uint32_t block_;
  std::size_t done_ = 0;
  bool settled_;
  int error_ = 0;
  std::coroutine_handle<> waiter_;
};

/// FullTransfer::read(), waited for.
inline Result<std::size_t> read_fully(int fd, std::span<std::byte> buffer, std::uint64_t offset,
                                      std::uint32_t block) {
  return FullTransfer::read(fd, buffer, offset, block).run();
}

/// FullTransfer::write(), waited for.
inline Result<std::size_t> write_fully(int fd, std::span<const std::byte> data,
                                       std::uint64_t offset, std::uint32_t block,
                                       Durability durability, Place place = Place::at_offset) {
  return FullTransfer::write(fd, data, offset, block, durability, place).run();
}

}  // namespace alignfs
