#include "alignfs/report/event_ring.h"

#include <algorithm>
#include <deque>
#include <mutex>
#include <variant>

#include "lru_map.h"

namespace alignfs {
namespace {

timespec real_time() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return now;
}

/// Most events are never read, so the line of one is made when somebody reads it: that takes longer
/// than the request it tells of. One with a long vector is kept as its line, which takes a
/// tenth of the memory: what is kept is bounded.
class Kept {
 public:
  explicit Kept(Event event) {
    if (event.view.call.segments.size() <= kMostSegments) {
      what_ = std::move(event);
      return;
    }
    std::string line = to_json(event);
    line.resize(line.rfind(':') + 1);
    line.shrink_to_fit();
    what_ = Line{std::move(line), event.repeated};
  }

  void merge() {
    std::visit([](auto& what) { ++what.repeated; }, what_);
  }

  std::string line() const {
    const auto* event = std::get_if<Event>(&what_);
    if (event != nullptr) return to_json(*event) + "\n";
    const auto& line = std::get<Line>(what_);
    return line.head + std::to_string(line.repeated) + "}\n";
  }

 private:
  static constexpr std::size_t kMostSegments = 64;

  struct Line {
    std::string head;  ///< up to the value of "repeated", which is the last field
    std::uint64_t repeated = 1;
  };

  std::variant<Event, Line> what_;
};

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

  Kept* held(std::uint64_t seq) {
    return seq < first_seq || seq >= next_seq ? nullptr : &events[seq - first_seq];
  }

  /// The event `seq`, or the first after it that is still kept: `seq` becomes its number.
  std::optional<Kept> first_from(std::uint64_t& seq) const;

  const std::size_t capacity;
  const Clock clock;
  mutable std::mutex mutex;
  std::deque<Kept> events;  ///< seq first_seq up to next_seq
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
  if (Kept* newest = impl_->held(state.newest_seq)) newest->merge();
  return false;
}

void EventRing::publish(const EventKind& admitted_as, Event event) {
  std::shared_ptr<const std::function<void()>> listener;
  {
    const std::lock_guard lock(impl_->mutex);
    const auto seq = impl_->next_seq;
    event.seq = seq;
    event.time = impl_->clock();
    if (impl_->events.size() == impl_->capacity) {
      impl_->events.pop_front();
      ++impl_->first_seq;
    }
    impl_->events.emplace_back(std::move(event));
    ++impl_->next_seq;
    impl_->kinds.touch(admitted_as).newest_seq = seq;
    listener = impl_->listener;
  }
  if (listener) (*listener)();
}

std::optional<Kept> EventRing::Impl::first_from(std::uint64_t& seq) const {
  const std::lock_guard lock(mutex);
  seq = std::max(seq, first_seq);
  if (seq >= next_seq) return std::nullopt;
  return events[seq - first_seq];
}

std::pair<std::string, std::uint64_t> EventRing::lines_from(std::uint64_t seq,
                                                            std::size_t limit) const {
  std::string text;
  // The lines are made without the lock: requests wait for it.
  for (auto next = seq; const auto kept = impl_->first_from(next); seq = ++next) {
    const auto line = kept->line();
    if (!text.empty() && text.size() + line.size() > limit) break;
    text += line;
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
