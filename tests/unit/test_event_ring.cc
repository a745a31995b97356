#include "alignfs/report/event_ring.h"

#include <gtest/gtest.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "sample_event.h"

namespace alignfs {
namespace {

using Json = nlohmann::json;

/// A clock that stands until it is moved.
class FakeClock {
 public:
  EventRing::Clock reader() {
    return [this] { return timespec{second, 5000}; };
  }
  std::atomic<time_t> second{1'000'000};
};

Event event_of_process(pid_t pid) {
  Event event = sample_event();
  event.process.pid = pid;
  return event;
}

void publish(EventRing& ring, const Event& event) { ring.publish(kind_of(event), event); }

/// What a reporter does with an event. True if it stood alone.
bool report(EventRing& ring, const Event& event) {
  if (!ring.admit(kind_of(event))) return false;
  publish(ring, event);
  return true;
}

std::vector<Json> all_events(const EventRing& ring, std::uint64_t from = 1) {
  std::istringstream lines(ring.lines_from(from, std::size_t{1} << 30U).first);
  std::vector<Json> events;
  for (std::string line; std::getline(lines, line);) events.push_back(Json::parse(line));
  return events;
}

std::uint64_t sum_of_repeated(const EventRing& ring) {
  std::uint64_t sum = 0;
  for (const Json& event : all_events(ring)) sum += event["repeated"].get<std::uint64_t>();
  return sum;
}

/// `event` as a ring with this clock stores it if it is the first.
Event stored_first(Event event, FakeClock& clock) {
  event.seq = 1;
  event.time = clock.reader()();
  return event;
}

TEST(EventRing, NumbersAndStampsWhatIsPublished) {
  FakeClock clock;
  EventRing ring(4, clock.reader());
  EXPECT_EQ(ring.next_seq(), 1U);
  publish(ring, sample_event());
  EXPECT_EQ(ring.next_seq(), 2U);
  EXPECT_EQ(ring.lines_from(1, 100'000).first, to_json(stored_first(sample_event(), clock)) + "\n");
  publish(ring, sample_event());
  EXPECT_EQ(all_events(ring).back()["seq"], 2);
}

TEST(EventRing, LineIsTheSameHoweverLongTheVector) {
  FakeClock clock;
  EventRing ring(4, clock.reader());
  Event event = sample_event();
  event.view.call.segments.assign(1000, {0x1000, 512});
  publish(ring, event);
  EXPECT_EQ(ring.lines_from(1, 100'000).first, to_json(stored_first(event, clock)) + "\n");
}

TEST(EventRing, KeepsTheNewest) {
  EventRing ring(3);
  for (int i = 0; i < 10; ++i) publish(ring, sample_event());
  const auto events = all_events(ring);
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(events.front()["seq"], 8);
  EXPECT_EQ(events.back()["seq"], 10);
  EXPECT_EQ(ring.lines_from(1, 100'000).second, 11U);
}

TEST(EventRing, CapacityOfNothingIsOne) {
  EventRing ring(0);
  publish(ring, sample_event());
  publish(ring, sample_event());
  EXPECT_EQ(all_events(ring).size(), 1U);
}

TEST(EventRing, ReadsWholeLinesWithinTheLimit) {
  EventRing ring(10);
  for (int i = 0; i < 3; ++i) publish(ring, sample_event());
  const std::size_t one = ring.lines_from(1, 1).first.size();
  EXPECT_GT(one, 1U) << "a first line longer than the limit comes all the same";
  const auto [text, next] = ring.lines_from(1, 2 * one + one / 2);
  EXPECT_EQ(text.size(), 2 * one);
  EXPECT_EQ(next, 3U);
  const auto [rest, end] = ring.lines_from(next, 2 * one);
  EXPECT_EQ(rest.size(), one);
  EXPECT_EQ(end, 4U);
  EXPECT_EQ(ring.lines_from(end, 2 * one), (std::pair<std::string, std::uint64_t>("", 4U)));
}

TEST(EventRing, MergesBeyondTheRateIntoTheNewest) {
  FakeClock clock;
  EventRing ring(1024, clock.reader());
  const Event event = sample_event();
  for (unsigned i = 0; i < EventRing::kAlonePerSecond; ++i) EXPECT_TRUE(report(ring, event));
  for (int i = 0; i < 25; ++i) EXPECT_FALSE(report(ring, event));
  auto events = all_events(ring);
  ASSERT_EQ(events.size(), EventRing::kAlonePerSecond);
  EXPECT_EQ(events[98]["repeated"], 1);
  EXPECT_EQ(events[99]["repeated"], 26);

  ++clock.second;
  EXPECT_TRUE(report(ring, event));
  EXPECT_EQ(all_events(ring).back()["repeated"], 1);
  EXPECT_EQ(all_events(ring)[99]["repeated"], 26);
}

TEST(EventRing, MergesIntoALongVectorToo) {
  FakeClock clock;
  EventRing ring(1024, clock.reader());
  Event event = sample_event();
  event.view.call.segments.assign(1000, {0x1000, 512});
  while (report(ring, event)) {
  }
  EXPECT_EQ(all_events(ring).back()["repeated"], 2);
}

TEST(EventRing, EveryFieldOfTheKindTellsKindsApart) {
  FakeClock clock;
  EventRing ring(1024, clock.reader());
  const EventKind kind = kind_of(sample_event());
  while (ring.admit(kind)) {
  }
  EventKind other = kind;
  other.pid += 1;
  EXPECT_TRUE(ring.admit(other));
  other = kind;
  other.file.inode += 1;
  EXPECT_TRUE(ring.admit(other));
  other = kind;
  other.direction = Direction::read;
  EXPECT_TRUE(ring.admit(other));
  other = kind;
  other.action = Action::bounced;
  EXPECT_TRUE(ring.admit(other));
  other = kind;
  other.broken = kMemory;
  EXPECT_TRUE(ring.admit(other));
  EXPECT_FALSE(ring.admit(kind));
}

TEST(EventRing, MergesIntoTheKindAnEventWasAdmittedAs) {
  FakeClock clock;
  EventRing ring(1024, clock.reader());
  Event event = sample_event();
  EventKind kind = kind_of(event);
  kind.broken = kLength;
  ASSERT_NE(kind, kind_of(event));
  while (ring.admit(kind)) ring.publish(kind, event);
  EXPECT_EQ(all_events(ring).back()["repeated"], 2);
}

TEST(EventRing, MergingIntoAnEventNoLongerHeldIsHarmless) {
  FakeClock clock;
  EventRing ring(2, clock.reader());
  while (ring.admit(kind_of(event_of_process(1)))) publish(ring, event_of_process(1));
  for (int i = 0; i < 2; ++i) report(ring, event_of_process(2));
  EXPECT_FALSE(report(ring, event_of_process(1)));
  EXPECT_EQ(sum_of_repeated(ring), 2U);
}

TEST(EventRing, TracksNoMoreKindsThanEvents) {
  FakeClock clock;
  EventRing ring(4, clock.reader());
  while (ring.admit(kind_of(event_of_process(1)))) {
  }
  // Three more kinds leave the first in place, a fourth takes the place of the one used longest
  // ago.
  for (pid_t pid = 2; pid <= 4; ++pid) ring.admit(kind_of(event_of_process(pid)));
  EXPECT_FALSE(ring.admit(kind_of(event_of_process(1))));
  for (pid_t pid = 5; pid <= 8; ++pid) ring.admit(kind_of(event_of_process(pid)));
  EXPECT_TRUE(ring.admit(kind_of(event_of_process(1)))) << "its count was forgotten";
}

TEST(EventRing, ClockSetBackOpensAWindowAndNoMore) {
  FakeClock clock;
  EventRing ring(16, clock.reader());
  const EventKind kind = kind_of(sample_event());
  while (ring.admit(kind)) {
  }
  clock.second -= 3600;
  EXPECT_TRUE(ring.admit(kind));
}

TEST(EventRing, ListenerHearsOfEachEventAndMayReadTheRing) {
  EventRing ring(16);
  std::vector<std::uint64_t> heard;
  ring.set_listener([&] { heard.push_back(ring.next_seq()); });
  publish(ring, sample_event());
  publish(ring, sample_event());
  EXPECT_EQ(heard, (std::vector<std::uint64_t>{2, 3}));
  ring.set_listener({});
  publish(ring, sample_event());
  EXPECT_EQ(heard.size(), 2U);
}

TEST(EventRing, LosesNoCountAmongThreads) {
  constexpr int kThreads = 8;
  constexpr int kEach = 2000;
  FakeClock clock;
  EventRing ring(1024, clock.reader());
  std::atomic<int> heard{0};
  ring.set_listener([&heard] { ++heard; });
  std::atomic<bool> done{false};
  // A reader goes on from seq to seq while they write, as a program at .alignfs/events does.
  std::uint64_t last_seen = 0;
  std::thread reader([&] {
    std::uint64_t seq = 1;
    while (!done || seq < ring.next_seq()) {
      const auto [text, next] = ring.lines_from(seq, 4096);
      std::istringstream lines(text);
      for (std::string line; std::getline(lines, line);) {
        const auto read_seq = Json::parse(line)["seq"].get<std::uint64_t>();
        EXPECT_EQ(read_seq, last_seen + 1);
        last_seen = read_seq;
      }
      seq = next;
    }
  });
  std::vector<std::thread> writers;
  writers.reserve(kThreads);
  for (int t = 0; t < kThreads; ++t) {
    writers.emplace_back([&ring, pid = t % 2 + 1] {
      const Event event = event_of_process(pid);
      for (int i = 0; i < kEach; ++i) report(ring, event);
    });
  }
  for (std::thread& writer : writers) writer.join();
  done = true;
  reader.join();
  EXPECT_EQ(sum_of_repeated(ring), std::uint64_t{kThreads} * kEach);
  EXPECT_EQ(all_events(ring).size(), 2 * EventRing::kAlonePerSecond);
  EXPECT_EQ(heard, int(2 * EventRing::kAlonePerSecond));
  EXPECT_EQ(last_seen, 2 * EventRing::kAlonePerSecond);
}

}  // namespace
}  // namespace alignfs
