#include "alignfs/base/counters.h"

namespace alignfs {
namespace {

constexpr std::array<const char*, std::size_t(Operation::kCount)> kOperationNames = {
    "read",    "write",     "lookup",  "getattr", "setattr", "open",   "create", "release",
    "fsync",   "fallocate", "readdir", "rename",  "link",    "unlink", "mkdir",  "mknod",
    "symlink", "readlink",  "xattr",   "statfs",  "lseek",   "copy",   "other"};

constexpr std::array<const char*, std::size_t(Outcome::kCount)> kOutcomeNames = {
    "ok", "bounced", "split", "fallback", "rejected", "error"};

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

void Counters::add(Operation operation, Outcome outcome, const Cell& delta) {
  Shard& shard = shards_[thread_number() % kShards];
  AtomicCell& cell = shard.cells[std::size_t(operation)][std::size_t(outcome)];
  add_relaxed(cell.requests, delta.requests);
  add_relaxed(cell.bytes, delta.bytes);
  add_relaxed(cell.backing_read, delta.backing_read);
  add_relaxed(cell.backing_write, delta.backing_write);
}

Counters::Cell Counters::total(Operation operation, Outcome outcome) const {
  Cell sum;
  for (const Shard& shard : shards_) {
    const AtomicCell& cell = shard.cells[std::size_t(operation)][std::size_t(outcome)];
    sum.requests += cell.requests.load(std::memory_order_relaxed);
    sum.bytes += cell.bytes.load(std::memory_order_relaxed);
    sum.backing_read += cell.backing_read.load(std::memory_order_relaxed);
    sum.backing_write += cell.backing_write.load(std::memory_order_relaxed);
  }
  return sum;
}

}  // namespace alignfs
