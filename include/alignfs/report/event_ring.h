#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "alignfs/report/event.h"

namespace alignfs {

/// Events of one kind are merged: same process, file, direction, action and broken rules.
struct EventKind {
  pid_t pid = 0;
  FileId file;
  Direction direction = Direction::read;
  Action action = Action::rejected;
  std::uint8_t broken = 0;
  bool operator==(const EventKind&) const = default;
};
EventKind kind_of(const Event& event);

/// The newest events, bounded in number and in rate. Thread-safe.
///
/// Up to kAlonePerSecond events of a kind stand alone in each second; further ones are counted in
/// `repeated` of the newest of that kind, if the ring still holds it. At most as many kinds are
/// tracked as the ring holds events; the one used longest ago is forgotten first.
class EventRing {
 public:
  static constexpr unsigned kAlonePerSecond = 100;
  using Clock = std::function<timespec()>;

  /// `capacity` events at least 1; `clock` gives CLOCK_REALTIME and is replaced by tests.
  explicit EventRing(std::size_t capacity, Clock clock = {});
  ~EventRing();
  EventRing(const EventRing&) = delete;
  EventRing& operator=(const EventRing&) = delete;

  /// Counts an event of `kind`. True if it may stand alone: the caller then builds it and calls
  /// publish(). False if it was merged, and nothing more is to be done: so that the cost of
  /// building an event is not paid a million times a second.
  bool admit(const EventKind& kind);

  /// Stores an admitted event, gives it seq and time, wakes listeners. Later merges are counted by
  /// the kind that it was admitted as, which need not be kind_of(event).
  void publish(const EventKind& admitted_as, Event event);

  /// JSON lines of the events from `seq` on, as many whole lines as fit in `limit` bytes, and the
  /// seq to go on from. Events no longer held are skipped. If the first line alone is longer than
  /// `limit` it is returned all the same. Empty where there is nothing yet.
  std::pair<std::string, std::uint64_t> lines_from(std::uint64_t seq, std::size_t limit) const;

  /// The seq that the next published event gets.
  std::uint64_t next_seq() const;

  /// Called after each publish(), without locks held, on the publishing thread.
  void set_listener(std::function<void()> listener);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace alignfs
