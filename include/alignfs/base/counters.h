#pragma once

#include <array>
#include <atomic>
#include <chrono>
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

/// How long requests of one operation took, counted in buckets: two for each doubling.
struct Latencies {
  static constexpr std::size_t kBuckets = 50;
  /// The longest time in nanoseconds that bucket `index` counts: from 1024 ns to 17 s. The last
  /// bucket has none.
  static std::uint64_t bound(std::size_t index);
  static std::size_t bucket_of(std::uint64_t nanoseconds);

  std::array<std::uint64_t, kBuckets> counts{};
  std::uint64_t nanoseconds = 0;  ///< the sum of all
};

/// Requests, bytes, backing bytes and latencies by operation and outcome. Relaxed atomics in a
/// shard a thread, so that counting costs no shared cache line; a reader sums the shards.
/// Thread-safe.
class Counters {
 public:
  struct Cell {
    std::uint64_t requests = 0;
    std::uint64_t bytes = 0;          ///< bytes the program asked for and got
    std::uint64_t backing_read = 0;   ///< bytes read from the backing on its behalf
    std::uint64_t backing_write = 0;  ///< bytes written to the backing on its behalf
    std::uint64_t page_cache = 0;     ///< bytes of these two that went through its page cache
  };

  void add(Operation operation, Outcome outcome, const Cell& delta);
  Cell total(Operation operation, Outcome outcome) const;

  /// One request took this long from its receipt by a worker until its answer was ready.
  void took(Operation operation, std::chrono::nanoseconds time);
  Latencies latencies(Operation operation) const;

 private:
  static constexpr std::size_t kShards = 16;
  struct AtomicCell {
    std::atomic<std::uint64_t> requests{0}, bytes{0}, backing_read{0}, backing_write{0},
        page_cache{0};
  };
  struct AtomicLatencies {
    std::array<std::atomic<std::uint64_t>, Latencies::kBuckets> counts{};
    std::atomic<std::uint64_t> nanoseconds{0};
  };
  struct alignas(64) Shard {
    std::array<std::array<AtomicCell, std::size_t(Outcome::kCount)>, std::size_t(Operation::kCount)>
        cells;
    std::array<AtomicLatencies, std::size_t(Operation::kCount)> latencies;
  };
  Shard& shard_of_this_thread();

  std::array<Shard, kShards> shards_;
};

}  // namespace alignfs
