#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace alignfs {

/// What is counted by operation. The order is that of kOperationNames.
enum class Operation : std::uint8_t {
  read,
  write,
  lookup,
  getattr,
  setattr,
  open,
  create,
  release,
  fsync,
  fallocate,
  readdir,
  rename,
  link,
  unlink,
  mkdir,
  mknod,
  symlink,
  readlink,
  xattr,
  statfs,
  lseek,
  copy,
  other,
  kCount
};

/// How a request ended. `bounced` and `split` are successes that needed more than was asked for,
/// `fallback` one that took another way than the mode's (mapped: reads by pread).
enum class Outcome : std::uint8_t { ok, bounced, split, fallback, rejected, error, kCount };

const char* name_of(Operation operation);
const char* name_of(Outcome outcome);

/// Requests, bytes and backing bytes by operation and outcome. Relaxed atomics in a shard a thread,
/// so that counting costs no shared cache line; a reader sums the shards. Thread-safe.
class Counters {
 public:
  struct Cell {
    std::uint64_t requests = 0;
    std::uint64_t bytes = 0;          ///< bytes the program asked for and got
    std::uint64_t backing_read = 0;   ///< bytes read from the backing on its behalf
    std::uint64_t backing_write = 0;  ///< bytes written to the backing on its behalf
  };

  void add(Operation operation, Outcome outcome, const Cell& delta);
  Cell total(Operation operation, Outcome outcome) const;

 private:
  static constexpr std::size_t kShards = 16;
  struct AtomicCell {
    std::atomic<std::uint64_t> requests{0}, bytes{0}, backing_read{0}, backing_write{0};
  };
  struct alignas(64) Shard {
    std::array<std::array<AtomicCell, std::size_t(Outcome::kCount)>, std::size_t(Operation::kCount)>
        cells;
  };
  std::array<Shard, kShards> shards_;
};

}  // namespace alignfs
