#include "alignfs/report/activity.h"

#include <array>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>
#include <vector>

#include "alignfs/report/moved.h"
#include "coarse_clock.h"
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

Moved moved_by(const Served& served) {
  const auto is = [&](Outcome outcome) { return std::uint64_t(served.outcome == outcome); };
  const auto& traffic = served.traffic;
  return {traffic.requests,      traffic.bytes,      traffic.backing_read,
          traffic.backing_write, traffic.page_cache, is(Outcome::bounced) + is(Outcome::split),
          is(Outcome::rejected), is(Outcome::error), std::uint64_t(served.time.count())};
}

struct Row {
  Activity::Name name;
  std::uint64_t named = 0;     ///< Impl::looks when it was
  std::array<Moved, 2> moved;  ///< by Direction

  Moved& of(Direction direction) { return moved[std::size_t(direction)]; }
};

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
      impl_->rows.touch(key).of(fragment.direction) += moved_by(served);
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
  row.of(fragment.direction) += moved_by(served);
}

std::string Activity::look() {
  // Threads of one process stand together.
  std::map<std::tuple<pid_t, std::string, std::string>, std::array<Moved, 2>> lines;
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
    auto& moved = lines[{row.name.pid, row.name.comm, row.name.path}];
    for (std::size_t i = 0; i < moved.size(); ++i) moved[i] += row.moved[i];
  }
  auto text = head.dump() + "\n";
  for (const auto& [name, moved] : lines) {
    const auto& [pid, comm, path] = name;
    const Json line{{"pid", pid},
                    {"comm", comm},
                    {"path", path},
                    {"read", to_json(moved[std::size_t(Direction::read)])},
                    {"write", to_json(moved[std::size_t(Direction::write)])}};
    text += line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  }
  return text;
}

}  // namespace alignfs
