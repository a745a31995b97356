// The threads behind a mount, served here through a socket that keeps messages apart as /dev/fuse
// does.

#include "alignfs/fuse/ring_crew.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <functional>
#include <future>
#include <latch>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "alignfs/base/alignment.h"
#include "alignfs/base/task.h"
#include "alignfs/base/unique_fd.h"
#include "alignfs/fuse/caution.h"
#include "alignfs/fuse/placement_trial.h"
#include "alignfs/fuse/worker.h"
#include "alignfs/io/transfer.h"
#include "alignfs/io/uring_engine.h"
#include "unit/pipe.h"
#include "unit/processors.h"

namespace alignfs {
namespace {

using Kind = Pace::Kind;

struct Message {
  Kind kind = Kind::may_wait;
  bool keeps_buffer = false;
  pid_t caller = 0;
  unsigned number = 0;
  bool awaited = true;
  std::uint64_t takes_turns_at = 0;
};

constexpr std::size_t kRoom = 4096;

class RingCrewTest : public testing::TestWithParam<std::tuple<unsigned, unsigned>> {
 protected:
  void SetUp() override {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    kernel_.reset(ends[0]);
    daemon_.reset(ends[1]);
    // Room for every message of a test, so that sending never waits.
    const int room = 8 << 20;
    ::setsockopt(kernel_.get(), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    std::tie(threads_, receivers_) = GetParam();
  }

  /// `work` carries out a message, on any thread.
  void start(std::function<void(const Message&)> work, std::size_t buffers = 64) {
    pool_ = std::make_unique<BufferPool>(kPageSize + kRoom, buffers);
    Duties duties{.fd = daemon_.get(),
                  .max_message = kRoom,
                  .buffers = *pool_,
                  .pace =
                      [](std::span<const std::byte> bytes) {
                        const auto message = read_message(bytes);
                        return Pace{.kind = message.kind,
                                    .keeps_buffer = message.keeps_buffer,
                                    .awaited = message.awaited,
                                    .caller = message.caller,
                                    .takes_turns_at = message.takes_turns_at};
                      },
                  .process =
                      [this, work](std::span<std::byte> bytes) {
                        work(read_message(bytes));
                        ++processed_;
                        processed_.notify_all();
                      },
                  .gone =
                      [this] {
                        gone_ = true;
                        gone_.notify_all();
                      }};
    crew_ = std::make_unique<RingCrew>(std::move(duties),
                                       RingCrew::Settings{.threads = threads_,
                                                          .receivers = receivers_,
                                                          .depth = 8,
                                                          .poll = std::chrono::microseconds(20),
                                                          .share_processor = share_processor_,
                                                          .local_backing = local_backing_});
    crew_->start();
  }

  void send(const Message& message) {
    ASSERT_EQ(::send(kernel_.get(), &message, sizeof message, 0), ssize_t(sizeof message));
  }
  static void wait_for(const std::atomic<unsigned>& counter, unsigned count) {
    for (unsigned now = counter; now < count; now = counter) counter.wait(now);
  }
  void wait_for(unsigned count) { wait_for(processed_, count); }

  static Message read_message(std::span<const std::byte> bytes) {
    Message message;
    EXPECT_EQ(bytes.size(), sizeof message);
    std::memcpy(&message, bytes.data(), sizeof message);
    return message;
  }

  UniqueFd kernel_, daemon_;
  std::unique_ptr<BufferPool> pool_;
  unsigned threads_ = 1, receivers_ = 1;
  bool share_processor_ = false;
  bool local_backing_ = true;
  std::atomic<unsigned> processed_{0};
  std::atomic<bool> gone_{false};
  std::unique_ptr<RingCrew> crew_;
};

std::string name_of(const testing::TestParamInfo<std::tuple<unsigned, unsigned>>& info) {
  return std::to_string(std::get<0>(info.param)) + "_threads_" +
         std::to_string(std::get<1>(info.param)) + "_receivers";
}

INSTANTIATE_TEST_SUITE_P(Threads, RingCrewTest,
                         testing::Values(std::tuple(1u, 1u), std::tuple(2u, 1u), std::tuple(8u, 1u),
                                         std::tuple(8u, 2u)),
                         name_of);

/// Alone there is nobody to take over.
class RingCrewOfSeveral : public RingCrewTest {};
const auto kSeveral = testing::Values(std::tuple(2u, 1u), std::tuple(8u, 1u), std::tuple(8u, 2u));
INSTANTIATE_TEST_SUITE_P(Threads, RingCrewOfSeveral, kSeveral, name_of);

TEST_P(RingCrewTest, CarriesOutEveryMessageOnce) {
  constexpr unsigned kCount = 20'000;
  std::vector<std::atomic<int>> times(kCount);
  start([&](const Message& message) { ++times[message.number]; });
  for (unsigned i = 0; i < kCount; ++i) {
    send({.kind = Kind(i % 4), .keeps_buffer = i % 3 == 0, .caller = pid_t(i % 5), .number = i});
  }
  wait_for(kCount);
  crew_->stop();
  for (unsigned i = 0; i < kCount; ++i) ASSERT_EQ(times[i], 1) << i;
}

TEST_P(RingCrewOfSeveral, OneThatIsStuckDoesNotKeepTheOthers) {
  std::latch release(1);
  start([&](const Message& message) {
    if (message.number == 0) release.wait();
  });
  // As many as leave one thread to receive, and later one more than helpers: that one waits its
  // turn, and still nobody else does.
  for (unsigned i = 0; i + 1 < threads_; ++i) send({.kind = Kind::may_wait, .number = 0});
  send({.kind = Kind::waits, .number = 0});
  for (unsigned i = 1; i <= 100; ++i) send({.kind = Kind::at_once, .number = i});
  wait_for(100);
  release.count_down();
  wait_for(100 + threads_);
}

/// Who carries out requests of one caller, one after the other.
class RingCrewAfterOneThatWasStuck : public RingCrewOfSeveral {
 protected:
  void SetUp() override {
    RingCrewOfSeveral::SetUp();
    start([&](const Message& message) {
      if (message.kind == Kind::at_once) receiver_ = ::gettid();
      if (message.number == kStuck) return wait_for(released_, stuck_);
      last_ = ::gettid();
    });
  }

  void get_one_stuck() {
    ++stuck_;
    send({.caller = 7, .number = kStuck});
    // Is received when the post has been taken over.
    carry_out(Kind::at_once);
    ++released_;
    released_.notify_all();
    wait_for(++sent_);
  }
  /// A request that may wait. True if the receiver does it itself.
  bool is_done_by_receiver() {
    carry_out(Kind::may_wait);
    const pid_t by = last_;
    carry_out(Kind::at_once);
    return by == receiver_;
  }

 private:
  static constexpr unsigned kStuck = 1;
  void carry_out(Kind kind) {
    send({.kind = kind, .caller = 7});
    wait_for(++sent_);
  }

  unsigned sent_ = 0;
  std::atomic<unsigned> stuck_{0}, released_{0};
  std::atomic<pid_t> receiver_{0}, last_{0};
};
/// With two threads there may be nobody to hand over to.
INSTANTIATE_TEST_SUITE_P(Threads, RingCrewAfterOneThatWasStuck,
                         testing::Values(std::tuple(8u, 1u), std::tuple(8u, 2u)), name_of);

TEST_P(RingCrewAfterOneThatWasStuck, ReceiversRiskNothingForSomeTime) {
  // The time may be over on a machine that stands still; not each time.
  int handed_over = 0;
  for (int i = 0; i < 20; ++i) {
    get_one_stuck();
    handed_over += !is_done_by_receiver();
  }
  EXPECT_GT(handed_over, 10);
}

TEST_P(RingCrewAfterOneThatWasStuck, NotForLongWhereItDoesNotHappenAgain) {
  const auto risks_soon = [&] {
    get_one_stuck();
    const auto begun = Caution::Clock::now();
    while (Caution::Clock::now() - begun < Caution::kTime / 2) {
      if (is_done_by_receiver()) return true;
    }
    return false;
  };
  int tries = 10;
  while (!risks_soon() && --tries != 0) std::this_thread::sleep_for(3 * Caution::kTime);
  EXPECT_NE(tries, 0);
}

TEST_P(RingCrewOfSeveral, WhatIsKnownToWaitNeverOccupiesTheReceiver) {
  std::atomic<unsigned> quick{0};
  start([&](const Message& message) {
    if (message.kind == Kind::waits) return wait_for(quick, 500);
    ++quick;
    quick.notify_all();
  });
  for (unsigned i = 0; i < 1000; ++i) send({.kind = i % 2 == 0 ? Kind::waits : Kind::at_once});
  wait_for(1000);
  EXPECT_EQ(quick, 500U);
}

/// As many as there may be receive, and one is left for what is short.
TEST_P(RingCrewOfSeveral, WhatIsKnownToWaitLeavesReceiversAndAHelper) {
  std::latch release(1);
  std::atomic<unsigned> waiting{0};
  start([&](const Message& message) {
    if (message.kind != Kind::waits) return;
    ++waiting;
    waiting.notify_all();
    release.wait();
  });
  for (unsigned i = 0; i < threads_; ++i) send({.kind = Kind::waits});
  const auto others = receivers_ + 1;
  const unsigned may_wait = threads_ > others ? threads_ - others : 1;
  wait_for(waiting, may_wait);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(waiting, may_wait);
  release.count_down();
  wait_for(threads_);
}

/// Who carries out what several callers asked for at once, each of it longer than handing it over.
class RingCrewWithCompany : public RingCrewOfSeveral {
 protected:
  using Turns = std::function<std::uint64_t(unsigned)>;

  /// True if one thread had them all. `turns` gives Pace::takes_turns_at by number.
  bool one_has_them_all(const Turns& turns, std::chrono::microseconds each) {
    std::mutex mutex;
    std::set<std::thread::id> threads;
    processed_ = 0;
    for (unsigned i = 0; i < kCount; ++i) {
      send({.caller = pid_t(1 + i % 4), .number = i, .takes_turns_at = turns(i)});
    }
    start([&](const Message&) {
      const auto until = std::chrono::steady_clock::now() + each;
      while (std::chrono::steady_clock::now() < until) {
      }
      const std::lock_guard lock(mutex);
      threads.insert(std::this_thread::get_id());
    });
    wait_for(kCount);
    crew_.reset();
    return threads.size() == 1;
  }
  /// On a busy machine a receiver may seem to be stuck, or a helper not be ready: not each time.
  bool one_has_them_all_often(const Turns& turns, std::chrono::microseconds each) {
    constexpr int kTimes = 20;
    int times = 0;
    for (int i = 0; i < kTimes; ++i) times += one_has_them_all(turns, each);
    return times >= kTimes / 5;
  }

  static std::uint64_t same(unsigned) { return 7; }

 private:
  static constexpr unsigned kCount = 24;
};
INSTANTIATE_TEST_SUITE_P(Threads, RingCrewWithCompany, kSeveral, name_of);

constexpr std::chrono::microseconds kMiddling(60), kLong(400);

TEST_P(RingCrewWithCompany, WhatTakesTurnsIsDoneByOne) {
  EXPECT_TRUE(one_has_them_all_often(same, kMiddling));
}

TEST_P(RingCrewWithCompany, WhatDoesNotIsSharedOut) {
  EXPECT_FALSE(one_has_them_all_often([](unsigned) { return 0; }, kMiddling));
  EXPECT_FALSE(one_has_them_all_often([](unsigned i) { return 7 + i % 2; }, kMiddling));
}

TEST_P(RingCrewWithCompany, WhatTakesLongIsSharedOut) {
  EXPECT_FALSE(one_has_them_all_often(same, kLong));
}

TEST_P(RingCrewWithCompany, ABackingThatIsNotLocalMayDoSeveralAtOnce) {
  local_backing_ = false;
  EXPECT_FALSE(one_has_them_all_often(same, kMiddling));
}

/// Reads a byte by the ring, holding `buffer` meanwhile.
Detached read_one(int fd, std::atomic<unsigned>& done,
                  [[maybe_unused]] BufferPool::Lease buffer = {}) {
  std::byte byte{};
  const auto got = co_await FullTransfer::read(fd, {&byte, 1}, std::uint64_t(-1), 1);
  EXPECT_TRUE(got.ok());
  ++done;
  done.notify_all();
}

Detached write_one(int fd, std::atomic<unsigned>& done) {
  std::byte byte{};
  const auto put =
      co_await FullTransfer::write(fd, {&byte, 1}, std::uint64_t(-1), 1, Durability::none);
  EXPECT_TRUE(put.ok());
  ++done;
  done.notify_all();
}

TEST_P(RingCrewTest, TheBackingHasItsCallsBeforeTheNextRequestIsCarriedOut) {
  // A write to a socket with room ends as it is handed over, on all kernels.
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const UniqueFd reader(ends[0]), writer(ends[1]);
  std::atomic<unsigned> done{0};
  for (unsigned i = 0; i < 4; ++i) {
    send({.kind = Kind::leaves_thread, .caller = pid_t(1 + i), .number = i});
  }
  start([&](const Message& message) {
    int written = -1;
    EXPECT_EQ(::ioctl(reader.get(), FIONREAD, &written), 0);
    EXPECT_EQ(written, int(message.number));
    write_one(writer.get(), done);
  });
  wait_for(done, 4);
}

TEST_P(RingCrewOfSeveral, WhatIsInTheRingIsNotKeptByWhatIsStuck) {
  const Pipe pipe;
  std::atomic<unsigned> done{0};
  std::latch release(1);
  start([&](const Message& message) {
    if (message.kind == Kind::leaves_thread) read_one(pipe.read_end.get(), done);
    if (message.kind == Kind::may_wait) release.wait();
  });
  for (unsigned i = 0; i < 4; ++i) send({.kind = Kind::leaves_thread, .caller = pid_t(1 + i % 2)});
  wait_for(4);
  send({.kind = Kind::may_wait});
  send({.kind = Kind::at_once});
  wait_for(5);
  ASSERT_EQ(::write(pipe.write_end.get(), "abcd", 4), 4);
  wait_for(done, 4);
  release.count_down();
  wait_for(6);
}

TEST_P(RingCrewOfSeveral, ReceiversComeWithTheLoadAndGoWithIt) {
  std::mutex mutex;
  std::set<std::thread::id> receivers;
  constexpr unsigned kCount = 400;
  for (unsigned i = 0; i < kCount; ++i) send({.kind = Kind::at_once});
  start([&](const Message&) {
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    const std::lock_guard guard(mutex);
    receivers.insert(std::this_thread::get_id());
  });
  wait_for(kCount);
  {
    const std::lock_guard guard(mutex);
    EXPECT_EQ(receivers.size(), receivers_);
  }
  // Each of them wakes all that receive, and there is work for one.
  for (unsigned i = 1; i <= 200; ++i) {
    send({.kind = Kind::at_once});
    wait_for(kCount + i);
  }
  {
    const std::lock_guard guard(mutex);
    receivers.clear();
  }
  for (unsigned i = 201; i <= 300; ++i) {
    send({.kind = Kind::at_once});
    wait_for(kCount + i);
  }
  const std::lock_guard guard(mutex);
  EXPECT_EQ(receivers.size(), 1U);
}

TEST_P(RingCrewOfSeveral, SomebodyReceivesWhenOneIsStuckAndTheOtherHasNoBuffers) {
  const Pipe pipe;
  std::atomic<unsigned> done{0};
  std::latch release(1);
  start(
      [&](const Message& message) {
        if (message.kind == Kind::may_wait) release.wait();
        if (message.keeps_buffer) read_one(pipe.read_end.get(), done, take_request_buffer());
      },
      4);
  send({.kind = Kind::may_wait});
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  for (unsigned i = 0; i < 10; ++i) {
    send({.kind = Kind::leaves_thread, .keeps_buffer = true, .caller = pid_t(1 + i % 2)});
  }
  // Long enough for a receiver that is woken in vain to think of leaving.
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  release.count_down();
  ASSERT_EQ(::write(pipe.write_end.get(), "0123456789", 10), 10);
  wait_for(done, 10);
  send({.kind = Kind::at_once});
  wait_for(12);
}

TEST_P(RingCrewOfSeveral, ASingleCallersCallsAreMadeByTheReceiver) {
  std::atomic<unsigned> by_ring{0};
  start([&](const Message&) {
    const bool ring = dynamic_cast<UringEngine*>(&Engine::of_this_thread()) != nullptr;
    by_ring += ring;
    // An answer that outlives the handler has no place in the buffer of the next request.
    const auto room = answer_room();
    EXPECT_EQ(room.size(), ring ? 0 : kRoom - kWriteHeader);
    EXPECT_TRUE(is_aligned(reinterpret_cast<std::uintptr_t>(room.data()), kPageSize));
  });
  constexpr unsigned kCount = 100;
  for (unsigned i = 1; i <= kCount; ++i) {
    send({.kind = Kind::leaves_thread, .caller = 7});
    wait_for(i);
  }
  // Who the caller is must be known first, two helpers must be there in case the call hangs, and on
  // a busy machine calls take long now and then.
  if (threads_ > 2) {
    EXPECT_LT(by_ring, kCount);
  } else {
    EXPECT_EQ(by_ring, kCount);
  }
  by_ring = 0;
  for (unsigned i = 1; i <= kCount; ++i) {
    send({.kind = Kind::leaves_thread, .caller = pid_t(i % 2)});
    wait_for(kCount + i);
  }
  EXPECT_EQ(by_ring, kCount);
}

TEST_P(RingCrewOfSeveral, ASingleCallersCallThatIsStuckDoesNotKeepTheOthers) {
  const Pipe pipe;
  std::atomic<unsigned> done{0};
  start([&](const Message& message) {
    if (message.number == 1) read_one(pipe.read_end.get(), done);
  });
  for (unsigned i = 1; i <= 10; ++i) {
    send({.kind = Kind::leaves_thread, .caller = 7});
    wait_for(i);
  }
  send({.kind = Kind::leaves_thread, .caller = 7, .number = 1});
  for (unsigned i = 0; i < 100; ++i) {
    send({.kind = Kind::leaves_thread, .caller = pid_t(i % 2)});
  }
  wait_for(110);
  ASSERT_EQ(::write(pipe.write_end.get(), "x", 1), 1);
  wait_for(done, 1);
  wait_for(111);
  // The receiver that lost its post has not made the other one's reads wait.
  for (unsigned i = 1; i <= 10; ++i) {
    send({.kind = Kind::leaves_thread, .caller = 7, .number = 1});
    ASSERT_EQ(::write(pipe.write_end.get(), "x", 1), 1);
    wait_for(done, 1 + i);
  }
}

/// Work that takes longer where it does not give way to its caller, so that it pays to be beside
/// him whatever the machine is like; and what it saw.
class GivingWay {
 public:
  void operator()() {
    if (::sched_getscheduler(0) == SCHED_IDLE) {
      processor = unsigned(::sched_getcpu());
      receiver = ::gettid();
      return;
    }
    receiver = 0;
    const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(20);
    while (std::chrono::steady_clock::now() < end) {
    }
  }
  /// The thread that gave way in the last request; 0 if none did.
  std::atomic<pid_t> receiver{0};
  std::atomic<unsigned> processor{CPU_SETSIZE};
};

class RingCrewBesideItsCaller : public RingCrewTest {
 protected:
  void SetUp() override {
    RingCrewTest::SetUp();
    share_processor_ = true;
  }
  /// Sends one request and waits until it is carried out.
  void ask(Kind kind, pid_t caller, bool awaited = true) {
    send({.kind = kind, .caller = caller, .awaited = awaited});
    wait_for(++asked_);
  }
  void ask_until_it_gives_way(Kind kind) {
    while (work_.receiver == 0) ask(kind, ::gettid());
  }

  GivingWay work_;
  unsigned asked_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Threads, RingCrewBesideItsCaller,
                         testing::Values(std::tuple(8u, 1u), std::tuple(8u, 2u)), name_of);

TEST_P(RingCrewBesideItsCaller, ACallerWhoIsAloneIsServedFromHisProcessor) {
  start([&](const Message&) { work_(); });
  std::thread caller([&] {
    for (const Kind kind : {Kind::leaves_thread, Kind::may_wait}) {
      const auto here = processors(::getpid()).front();
      stay_on(here);
      // On a busy machine it may just have been called back.
      int tries = 0;
      do {
        ask_until_it_gives_way(kind);
        EXPECT_EQ(work_.processor, here);
        ask(Kind::at_once, 0, false);
        ask(kind, ::gettid());
      } while (work_.receiver == 0 && ++tries < 20);
      EXPECT_NE(work_.receiver, 0) << "the kernel's own messages say nothing of callers";
      ask(kind, 1);
      EXPECT_EQ(work_.receiver, 0) << "another one asks";
    }
  });
  caller.join();
}

TEST_P(RingCrewBesideItsCaller, TheReceiverFollowsHim) {
  start([&](const Message&) { work_(); });
  std::thread caller([&] {
    const auto all = processors(::getpid());
    for (std::size_t i = 0; i < 8; ++i) {
      const auto here = all[i % all.size()];
      stay_on(here);
      do {
        ask(Kind::leaves_thread, ::gettid());
      } while (work_.receiver == 0 || work_.processor != here);
    }
  });
  caller.join();
  EXPECT_LT(asked_, 2 * PlacementTrial::kLease * PlacementTrial::kMostRequests)
      << "more than if all was tried anew each time";
}

TEST_P(RingCrewBesideItsCaller, OneThatStandsStillGivesWayNoLonger) {
  start([&](const Message&) { work_(); });
  for (int i = 0; i < 3; ++i) {
    ask_until_it_gives_way(Kind::may_wait);
    const pid_t receiver = work_.receiver;
    while (::sched_getscheduler(receiver) == SCHED_IDLE) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    work_.receiver = 0;
  }
}

TEST_P(RingCrewBesideItsCaller, OneThatIsStuckGivesWayNoLonger) {
  std::latch release(1);
  std::atomic<pid_t> stuck{0};
  start([&](const Message& message) {
    work_();
    if (message.number == 0) return;
    stuck = ::gettid();
    stuck.notify_all();
    release.wait();
  });
  ask_until_it_gives_way(Kind::may_wait);
  send({.kind = Kind::may_wait, .caller = ::gettid(), .number = 1});
  stuck.wait(0);
  while (::sched_getscheduler(stuck) == SCHED_IDLE) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ask(Kind::at_once, 1);
  release.count_down();
  wait_for(++asked_);
}

TEST_P(RingCrewBesideItsCaller, WhoseProcessorIsNotKnownIsServedFromAnywhere) {
  start([&](const Message&) { work_(); });
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  const rlimit none{0, files.rlim_max};
  ask_until_it_gives_way(Kind::may_wait);
  // /proc cannot be looked at any more.
  EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  for (int i = 0; i < 40; ++i) ask(Kind::may_wait, ::gettid());
  EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
  EXPECT_EQ(work_.receiver, 0);
}

TEST_P(RingCrewBesideItsCaller, ItStopsWhileItGivesWay) {
  start([&](const Message&) { work_(); });
  ask_until_it_gives_way(Kind::leaves_thread);
  crew_->stop();
  EXPECT_EQ(asked_, processed_);
}

TEST_P(RingCrewTest, NobodyGivesWayUnlessThatIsWanted) {
  GivingWay work;
  start([&](const Message&) { work(); });
  for (unsigned i = 1; i <= 2000; ++i) {
    send({.kind = Kind::leaves_thread, .caller = ::gettid()});
    wait_for(i);
    ASSERT_EQ(work.receiver, 0) << i;
  }
}

TEST_P(RingCrewTest, APayloadStaysUntilItIsNoLongerNeeded) {
  std::mutex mutex;
  std::vector<std::pair<BufferPool::Lease, unsigned>> kept;
  start(
      [&](const Message& message) {
        if (!message.keeps_buffer) return;
        auto lease = take_request_buffer();
        const std::lock_guard guard(mutex);
        kept.emplace_back(std::move(lease), message.number);
      },
      64);
  for (unsigned i = 0; i < 40; ++i) {
    send({.kind = Kind(i % 4), .keeps_buffer = true, .number = i});
    send({.kind = Kind::at_once});
  }
  wait_for(80);
  crew_->stop();
  ASSERT_EQ(kept.size(), 40U);
  for (const auto& [lease, number] : kept) {
    Message message;
    std::memcpy(&message, lease.data() + kPageSize - kWriteHeader, sizeof message);
    EXPECT_EQ(message.number, number);
  }
  kept.clear();
}

TEST_P(RingCrewTest, GoesOnWhenTheRingGivesBuffersBack) {
  const Pipe pipe;
  std::atomic<unsigned> done{0};
  // A thread that waits for a job keeps none; a receiver has one, and the ring the others.
  start([&](const Message&) { read_one(pipe.read_end.get(), done, take_request_buffer()); }, 3);
  constexpr unsigned kCount = 200;
  for (unsigned i = 0; i < kCount; ++i) {
    send({.kind = Kind::leaves_thread, .keeps_buffer = true, .caller = pid_t(1 + i % 2)});
  }
  for (unsigned i = 0; i < kCount; ++i) {
    ASSERT_EQ(::write(pipe.write_end.get(), "x", 1), 1);
    wait_for(done, i + 1);
  }
  EXPECT_EQ(done, kCount);
}

TEST_P(RingCrewTest, StoppingFinishesWhatIsInHand) {
  const Pipe pipe;
  std::atomic<unsigned> done{0};
  std::atomic<unsigned> waited{0};
  std::latch all_received(1);
  start([&](const Message& message) {
    if (message.kind == Kind::leaves_thread) read_one(pipe.read_end.get(), done);
    if (message.kind == Kind::waits) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      ++waited;
    }
    if (message.kind == Kind::at_once) all_received.count_down();
  });
  for (unsigned i = 0; i < 5; ++i) send({.kind = Kind::leaves_thread, .caller = pid_t(1 + i % 2)});
  for (unsigned i = 0; i < 20; ++i) send({.kind = Kind::waits});
  send({.kind = Kind::at_once});
  all_received.wait();
  std::thread feeder([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_EQ(::write(pipe.write_end.get(), "abcde", 5), 5);
  });
  crew_->stop();
  feeder.join();
  EXPECT_EQ(done, 5U);
  EXPECT_EQ(waited, 20U);
  EXPECT_EQ(processed_, 26U);
}

TEST_P(RingCrewTest, TheEndOfTheMountIsReported) {
  start([](const Message&) {});
  kernel_.reset();
  gone_.wait(false);
  crew_->stop();
  EXPECT_TRUE(gone_);
}

}  // namespace
}  // namespace alignfs
