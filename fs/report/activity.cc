#include "alignfs/report/activity.h"

#include <array>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>
#include <vector>

#include "lru_map.h"

namespace alignfs {
namespace {

using Json = nlohmann::ordered_json;

struct Key {
  pid_t tid = 0;
  FileId file;
  bool operator==(const Key&) const = default;
};

struct KeyHash {
  std::size_t operator()(const Key& key) const {
    return combine_hashes(FileIdHash{}(key.file), std::size_t(key.tid));
  }
};

/// What one direction has moved.
struct Sums {
  Counters::Cell traffic;
  std::uint64_t adapted = 0, rejected = 0, errors = 0, nanoseconds = 0;

  void add(const Served& served) {
    add(Sums{served.traffic, served.outcome == Outcome::bounced || served.outcome == Outcome::split,
             served.outcome == Outcome::rejected, served.outcome == Outcome::error,
             std::uint64_t(served.time.count())});
  }
  void add(const Sums& more) {
    traffic.requests += more.traffic.requests;
    traffic.bytes += more.traffic.bytes;
    traffic.backing_read += more.traffic.backing_read;
    traffic.backing_write += more.traffic.backing_write;
    traffic.page_cache += more.traffic.page_cache;
    adapted += more.adapted;
    rejected += more.rejected;
    errors += more.errors;
    nanoseconds += more.nanoseconds;
  }
  Json to_json() const {
    return {{"requests", traffic.requests},
            {"bytes", traffic.bytes},
            {"backing_read", traffic.backing_read},
            {"backing_write", traffic.backing_write},
            {"page_cache", traffic.page_cache},
            {"adapted", adapted},
            {"rejected", rejected},
            {"errors", errors},
            {"nanoseconds", nanoseconds}};
  }
};

struct Row {
  Activity::Name name;
  std::uint64_t named = 0;   ///< Impl::looks when it was
  std::array<Sums, 2> sums;  ///< by Direction

  Sums& of(Direction direction) { return sums[std::size_t(direction)]; }
};

timespec coarse_now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return now;
}

}  // namespace

struct Activity::Impl {
  Impl(Describe describe_by, std::size_t rows_at_most, Clock clock_or_none)
      : describe(std::move(describe_by)),
        clock(clock_or_none ? std::move(clock_or_none) : Clock(coarse_now)),
        capacity(rows_at_most),
        rows(capacity) {}

  const Describe describe;
  const Clock clock;
  const std::size_t capacity;

  std::mutex mutex;
  LruMap<Key, Row, KeyHash> rows;
  std::uint64_t watch = 0;  ///< counts the watches that began
  std::uint64_t looks = 0;
  std::uint64_t forgotten = 0;
  time_t last_look = 0;

  bool lapsed() const { return clock().tv_sec > last_look + kAttention; }
};

Activity::Activity(Describe describe, std::size_t capacity, Clock clock)
    : impl_(std::make_unique<Impl>(std::move(describe), capacity, std::move(clock))) {}

Activity::~Activity() = default;

void Activity::note_watched(const Fragment& fragment, const Served& served) {
  const Key key{fragment.requester.tid, fragment.file};
  {
    const std::lock_guard guard(impl_->mutex);
    if (impl_->lapsed()) {
      watched_ = false;
      return;
    }
    const auto* const row = impl_->rows.find(key);
    if (row != nullptr && row->named == impl_->looks) {
      impl_->rows.touch(key).of(fragment.direction).add(served);
      return;
    }
  }
  auto name = impl_->describe(fragment);
  const std::lock_guard guard(impl_->mutex);
  if (impl_->rows.size() == impl_->capacity && impl_->rows.find(key) == nullptr) ++impl_->forgotten;
  auto& row = impl_->rows.touch(key);
  // A thread's number, or an inode's, may have come to stand for another one.
  if (row.name != name) row = {std::move(name), 0, {}};
  row.named = impl_->looks;
  row.of(fragment.direction).add(served);
}

std::string Activity::look() {
  // Threads of one process stand together.
  std::map<std::tuple<pid_t, std::string, std::string>, std::array<Sums, 2>> lines;
  std::vector<Row> rows;
  Json head;
  {
    const std::lock_guard guard(impl_->mutex);
    if (!watched_ || impl_->lapsed()) {
      impl_->rows = LruMap<Key, Row, KeyHash>(impl_->capacity);
      impl_->forgotten = 0;
      ++impl_->watch;
    }
    ++impl_->looks;
    impl_->last_look = impl_->clock().tv_sec;
    watched_ = true;
    rows.reserve(impl_->rows.size());
    impl_->rows.for_each([&](const Row& row) { rows.push_back(row); });
    head = {{"watch", impl_->watch}, {"forgotten", impl_->forgotten}};
  }
  for (const auto& row : rows) {
    auto& sums = lines[{row.name.pid, row.name.comm, row.name.path}];
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i].add(row.sums[i]);
  }
  auto text = head.dump() + "\n";
  for (const auto& [name, sums] : lines) {
    const auto& [pid, comm, path] = name;
    const Json line{{"pid", pid},
                    {"comm", comm},
                    {"path", path},
                    {"read", sums[std::size_t(Direction::read)].to_json()},
                    {"write", sums[std::size_t(Direction::write)].to_json()}};
    text += line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  }
  return text;
}

}  // namespace alignfs
