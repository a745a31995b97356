#include "alignfs/base/counters.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace alignfs {
namespace {

constexpr std::array<const char*, std::size_t(Operation::kCount)> kOperationNames = {
    "read",    "write",     "lookup",  "getattr", "setattr", "open",   "create", "release",
    "fsync",   "fallocate", "readdir", "rename",  "link",    "unlink", "mkdir",  "mknod",
    "symlink", "readlink",  "xattr",   "statfs",  "lseek",   "copy",   "other"};

constexpr std::array<const char*, std::size_t(Outcome::kCount)> kOutcomeNames = {
    "ok", "bounced", "split", "fallback", "rejected", "error"};

/// The first bucket holds what is shorter than the clock and the counting are worth.
constexpr unsigned kFirstBits = 10;

/// Numbers the threads that ever counted. Two threads may share a shard: that costs time, never
/// correctness.
std::size_t thread_number() {
  static std::atomic<std::size_t> next{0};
  thread_local const std::size_t mine = next.fetch_add(1, std::memory_order_relaxed);
  return mine;
}

void add_relaxed(std::atomic<std::uint64_t>& sum, std::uint64_t delta) {
  if (delta != 0) sum.fetch_add(delta, std::memory_order_relaxed);
}

}  // namespace

const char* name_of(Operation operation) { return kOperationNames.at(std::size_t(operation)); }

const char* name_of(Outcome outcome) { return kOutcomeNames.at(std::size_t(outcome)); }

std::uint64_t Latencies::bound(std::size_t index) {
  if (index + 1 >= kBuckets) return std::numeric_limits<std::uint64_t>::max();
  const std::uint64_t power = std::uint64_t(1) << (kFirstBits + index / 2);
  return index % 2 == 0 ? power : power + power / 2;
}

std::size_t Latencies::bucket_of(std::uint64_t nanoseconds) {
  const auto below = std::max<std::uint64_t>(nanoseconds, 1) - 1;
  const auto bits = unsigned(std::bit_width(below));
  if (bits <= kFirstBits) return 0;
  const auto upper_half = (below >> (bits - 2)) & 1U;
  return std::min<std::size_t>(1 + 2 * (bits - kFirstBits - 1) + upper_half, kBuckets - 1);
}

Counters::Shard& Counters::shard_of_this_thread() { return shards_[thread_number() % kShards]; }

void Counters::add(Operation operation, Outcome outcome, const Cell& delta) {
  Shard& shard = shard_of_this_thread();
  AtomicCell& cell = shard.cells[std::size_t(operation)][std::size_t(outcome)];
  add_relaxed(cell.requests, delta.requests);
  add_relaxed(cell.bytes, delta.bytes);
  add_relaxed(cell.backing_read, delta.backing_read);
  add_relaxed(cell.backing_write, delta.backing_write);
  add_relaxed(cell.page_cache, delta.page_cache);
}

Counters::Cell Counters::total(Operation operation, Outcome outcome) const {
  Cell sum;
  for (const Shard& shard : shards_) {
    const AtomicCell& cell = shard.cells[std::size_t(operation)][std::size_t(outcome)];
    sum.requests += cell.requests.load(std::memory_order_relaxed);
    sum.bytes += cell.bytes.load(std::memory_order_relaxed);
    sum.backing_read += cell.backing_read.load(std::memory_order_relaxed);
    sum.backing_write += cell.backing_write.load(std::memory_order_relaxed);
    sum.page_cache += cell.page_cache.load(std::memory_order_relaxed);
  }
  return sum;
}

void Counters::took(Operation operation, std::chrono::nanoseconds time) {
  auto& latencies = shard_of_this_thread().latencies[std::size_t(operation)];
  const auto nanoseconds = std::uint64_t(time.count());
  add_relaxed(latencies.counts[Latencies::bucket_of(nanoseconds)], 1);
  add_relaxed(latencies.nanoseconds, nanoseconds);
}

Latencies Counters::latencies(Operation operation) const {
  Latencies sum;
  for (const Shard& shard : shards_) {
    const auto& part = shard.latencies[std::size_t(operation)];
    sum.nanoseconds += part.nanoseconds.load(std::memory_order_relaxed);
    for (std::size_t i = 0; i < Latencies::kBuckets; ++i) {
      sum.counts[i] += part.counts[i].load(std::memory_order_relaxed);
    }
  }
  return sum;
}

}  // namespace alignfs
