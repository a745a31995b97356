#include "alignfs/report/event_ring.h"

#include <algorithm>
#include <deque>
#include <mutex>
#include <vector>

#include "lru_map.h"

namespace alignfs {
namespace {

timespec real_time() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return now;
}

/// An event as it is kept: its line up to the value of "repeated", which is the last field. A line
/// takes a tenth of what the event takes, whose vector may have a thousand segments.
struct StoredLine {
  std::string head;
  std::uint64_t repeated = 1;
};

StoredLine stored(const Event& event) {
  std::string line = to_json(event);
  line.resize(line.rfind(':') + 1);
  line.shrink_to_fit();
  return {std::move(line), event.repeated};
}

/// What is known of a kind. The second is that of the clock: a clock that is set back opens a new
/// window, and nothing worse.
struct KindState {
  time_t second = -1;
  unsigned alone = 0;
  std::uint64_t newest_seq = 0;  ///< 0: none published yet
};

}  // namespace

EventKind kind_of(const Event& event) {
  return {event.process.pid, event.file, event.direction, event.action, event.diagnosis.broken};
}

struct EventRing::Impl {
  Impl(std::size_t capacity, Clock clock_or_none)
      : capacity(std::max<std::size_t>(capacity, 1)),
        clock(clock_or_none ? std::move(clock_or_none) : Clock(real_time)),
        kinds(this->capacity) {}

  StoredLine* held(std::uint64_t seq) {
    return seq < first_seq || seq >= next_seq ? nullptr : &lines[seq - first_seq];
  }

  const std::size_t capacity;
  const Clock clock;
  mutable std::mutex mutex;
  std::deque<StoredLine> lines;  ///< seq first_seq up to next_seq
  std::uint64_t first_seq = 1;
  std::uint64_t next_seq = 1;
  LruMap<EventKind, KindState, EventKindHash> kinds;
  std::shared_ptr<const std::function<void()>> listener;
};

EventRing::EventRing(std::size_t capacity, Clock clock)
    : impl_(std::make_unique<Impl>(capacity, std::move(clock))) {}

EventRing::~EventRing() = default;

bool EventRing::admit(const EventKind& kind) {
  const time_t second = impl_->clock().tv_sec;
  const std::lock_guard lock(impl_->mutex);
  KindState& state = impl_->kinds.touch(kind);
  if (state.second != second) {
    state.second = second;
    state.alone = 0;
  }
  if (state.alone < kAlonePerSecond) {
    ++state.alone;
    return true;
  }
  if (StoredLine* newest = impl_->held(state.newest_seq)) ++newest->repeated;
  return false;
}

Event EventRing::publish(Event event) {
  const EventKind kind = kind_of(event);
  return publish(kind, std::move(event));
}

Event EventRing::publish(const EventKind& admitted_as, Event event) {
  std::shared_ptr<const std::function<void()>> listener;
  {
    const std::lock_guard lock(impl_->mutex);
    event.seq = impl_->next_seq;
    event.time = impl_->clock();
    if (impl_->lines.size() == impl_->capacity) {
      impl_->lines.pop_front();
      ++impl_->first_seq;
    }
    impl_->lines.push_back(stored(event));
    ++impl_->next_seq;
    impl_->kinds.touch(admitted_as).newest_seq = event.seq;
    listener = impl_->listener;
  }
  if (listener) (*listener)();
  return event;
}

std::pair<std::string, std::uint64_t> EventRing::lines_from(std::uint64_t seq,
                                                            std::size_t limit) const {
  const std::lock_guard lock(impl_->mutex);
  std::string text;
  seq = std::max(seq, impl_->first_seq);
  for (; seq < impl_->next_seq; ++seq) {
    const StoredLine& line = impl_->lines[seq - impl_->first_seq];
    const std::string tail = std::to_string(line.repeated) + "}\n";
    if (!text.empty() && text.size() + line.head.size() + tail.size() > limit) break;
    text += line.head;
    text += tail;
  }
  return {std::move(text), seq};
}

std::uint64_t EventRing::next_seq() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->next_seq;
}

void EventRing::set_listener(std::function<void()> listener) {
  auto shared =
      listener ? std::make_shared<const std::function<void()>>(std::move(listener)) : nullptr;
  const std::lock_guard lock(impl_->mutex);
  impl_->listener = std::move(shared);
}

}  // namespace alignfs
